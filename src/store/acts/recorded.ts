/**
 * Decisions for judging again, from the entries of a store, each with the balances of then: these are the sums of what entries
 * before it moved, and the grants that were given by then.
 */
import { accountsOf } from "../../budget/account.ts";
import type { Balance, Touch } from "../../budget/budget.ts";
import { readFacts } from "../../decision/facts-text.ts";
import type { Facts, Reason } from "../../decision/question.ts";
import type { RecordedAct, RecordedDecision, RecordedFilter } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import type { ClosingBalance } from "../../ledger/closing.ts";

/** An entry with its detail, where that is kept. */
export type RecordedRow = {
  idx: number;
  id: string;
  at: number;
  kind: string;
  leaf: Buffer;
  body: string | null;
};
type MoveRecord = { budget: string; account: string; start: number; used?: number; held?: number };
type Rec = {
  moves?: MoveRecord[];
  decision: string;
  reason: Reason;
  policies: string[];
  replay_of?: string;
  batch?: string;
  item?: number;
  budget: string;
  amount: number;
  from: number;
  until: number;
};

type Period = { start: Micros; used: number; held: number };

/** Periods by account, ascending, as sums of the moves so far. */
type Sums = {
  add: (move: MoveRecord) => void;
  since: (key: string, countedFrom: Micros) => { used: number; held: number };
};

const keyOf = (budget: string, account: string): string => JSON.stringify([budget, account]);

const createSums = (): Sums => {
  const accounts = new Map<string, Period[]>();
  return {
    add: ({ budget, account, start, used = 0, held = 0 }) => {
      const key = keyOf(budget, account);
      const periods = accounts.get(key) ?? [];
      accounts.set(key, periods);
      // Nearly always the latest one, or a new one after it.
      let at = periods.length;
      while (at > 0 && periods[at - 1]!.start > start) at--;
      const found = periods[at - 1];
      if (found?.start === start) {
        found.used += used;
        found.held += held;
      } else periods.splice(at, 0, { start, used, held });
    },
    since: (key, countedFrom) => {
      const sum = { used: 0, held: 0 };
      const periods = accounts.get(key) ?? [];
      for (let at = periods.length - 1; at >= 0 && periods[at]!.start >= countedFrom; at--) {
        sum.used += periods[at]!.used;
        sum.held += periods[at]!.held;
      }
      return sum;
    },
  };
};

type GrantRecord = { amount: number; from: Micros; until: Micros };

/** A grant of an account. */
export type AccountGrant = GrantRecord & { budget: string; account: string };

/** What a store knows beside its entries. */
export type Known = {
  /** What pruned entries moved. */
  closing: readonly ClosingBalance[];
  /** Grants whose entries were pruned: they were given before all that is left. */
  grants: readonly AccountGrant[];
  /** What an account is called in entries. */
  nameOf: (budget: string, account: string) => string | undefined;
  /** The run that a run is below, where it had begun by then. */
  parentOf: (run: string, at: Micros) => string | undefined;
};

/** The ledger as it was at one entry after the other. */
type Past = {
  see: (rec: Rec, kind: string, body: string | null) => void;
  balances: (facts: Facts) => Balance[];
};

const lineageMax = 64;

const createPast = ({ closing, grants: given, nameOf, parentOf }: Known): Past => {
  const sums = createSums();
  for (const balance of closing) sums.add(balance);
  const grants = new Map<string, GrantRecord[]>();
  const grant = ({ budget, account, amount, from, until }: AccountGrant): void => {
    const key = keyOf(budget, account);
    grants.set(key, [...(grants.get(key) ?? []), { amount, from, until }]);
  };
  for (const one of given) grant(one);
  const runsOf = ({ run: id, parentRun, at }: Facts): string[] => {
    const runs = id === undefined ? [] : [id];
    for (let next = id; next !== undefined && runs.length < lineageMax;) {
      const parent: string | undefined = parentOf(next, at);
      if (parent === undefined || runs.includes(parent)) break;
      runs.push(parent);
      next = parent;
    }
    return parentRun === undefined || runs.includes(parentRun) ? runs : [...runs, parentRun];
  };
  const balanceOf = (touch: Touch, account: string, at: Micros): Balance => {
    const { budget, unit, mode, limit, amount, as, countedFrom, resetsAt } = touch;
    const granted = (grants.get(keyOf(budget, account)) ?? [])
      .filter(({ from, until }) => from <= at && until > at)
      .reduce((sum, one) => sum + one.amount, 0);
    return {
      budget,
      account,
      unit,
      mode,
      limit: limit + granted,
      ...sums.since(keyOf(budget, nameOf(budget, account) ?? ""), countedFrom),
      ...(resetsAt === undefined ? {} : { resetsAt }),
      amount,
      as,
    };
  };
  return {
    see: (rec, kind, body) => {
      for (const move of rec.moves ?? []) sums.add(move);
      if (kind !== "budget.grant" || body === null) return;
      const { account } = JSON.parse(body) as { account: string };
      const { budget, amount, from, until } = rec;
      grant({ budget, account, amount, from, until });
    },
    balances: (facts) =>
      (facts.demand?.touches ?? []).flatMap((touch) =>
        accountsOf(touch, runsOf(facts)).map((account) => balanceOf(touch, account, facts.at)),
      ),
  };
};

const recordedOf = (row: RecordedRow, rec: Rec, facts: Facts, balances: Balance[]): RecordedDecision => ({
  index: row.idx,
  facts,
  balances,
  decision: rec.decision === "permit",
  reason: rec.reason,
  policies: rec.policies,
  ...(rec.replay_of === undefined ? {} : { replayOf: rec.replay_of }),
});

/** Gathers acts from entries that are shown in order, all from the first that is kept. */
type Gathering = {
  /** What an entry completes. */
  take: (row: RecordedRow) => RecordedAct[];
  /** What is left. */
  end: () => RecordedAct[];
};

/** Gathers what a filter lets through, from the entry `first` on. */
export const gatherActs = (
  known: Known,
  first: number,
  { from = 0, to = Number.MAX_SAFE_INTEGER }: RecordedFilter,
): Gathering => {
  const past = createPast(known);
  let batch: string | undefined;
  let begun = false;
  let decisions: RecordedDecision[] = [];
  let wanted = new Set<number>();
  /** The batch whose decisions saw what one of them had debited that can't be judged again. */
  let obscured: string | undefined;
  const end = (): RecordedAct[] => {
    const act = { decisions, wanted };
    decisions = [];
    wanted = new Set();
    return act.wanted.size > 0 ? [act] : [];
  };
  /** A decision, with those of its batch; what can't be judged again is an act of its own. */
  const decided = (row: RecordedRow, rec: Rec): RecordedAct[] => {
    const isWanted = row.idx >= first && row.at >= from && row.at < to;
    // Of a batch all are needed: each may have seen what those before it debited.
    if (!isWanted && batch === undefined) return [];
    const facts = row.body === null ? undefined : readFacts(row.body);
    // Of a batch whose first items were pruned nobody knows what they debited.
    if (!begun && (rec.item ?? 0) > 0) obscured = batch;
    begun = true;
    if (facts && !facts.blind && (batch === undefined || batch !== obscured)) {
      decisions.push(recordedOf(row, rec, facts, past.balances(facts)));
      if (isWanted) wanted.add(row.idx);
      return [];
    }
    // What it had debited was undone, and is in no entry.
    if (rec.reason === "all_or_nothing") obscured = batch;
    const name = { index: row.idx, id: row.id };
    return isWanted ? [facts ? { withheld: name } : { erased: name }] : [];
  };
  return {
    take: (row) => {
      const { rec } = JSON.parse(row.leaf.toString("utf8")) as { rec: Rec };
      const acts = rec.batch === undefined || rec.batch !== batch ? end() : [];
      batch = rec.batch;
      if (row.kind === "decision") acts.push(...decided(row, rec));
      past.see(rec, row.kind, row.body);
      return acts;
    },
    end,
  };
};
