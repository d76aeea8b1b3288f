/**
 * Reads decisions back for judging again, each with the balances of then: these are the sums of what entries before it
 * moved, and the grants that were given by then. Opens the file for reading alone, beside a service or without one.
 */
import type { Database } from "better-sqlite3";
import { accountsOf } from "../../budget/account.ts";
import type { Balance, Touch } from "../../budget/budget.ts";
import { readFacts } from "../../decision/facts-text.ts";
import type { Facts, Reason } from "../../decision/question.ts";
import type { RecordedAct, RecordedDecision, RecordedFilter, RecordedReader } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { Sqlite } from "./driver.ts";
import { prunedBefore, readClosing } from "./closing.ts";
import { newestVersion } from "./schema.ts";

type Row = { idx: number; id: string; at: number; kind: string; leaf: Buffer; body: string | null };
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

/** Grants whose entries were pruned were given before all that is left. */
const prunedGrants = (db: Database): Map<string, GrantRecord[]> => {
  const found = db
    .prepare<[], { budget: string; account: string; amount: number; from: Micros; until: Micros }>(
      `select budget, account, amount, from_at as "from", until_at as until from budget_grant g
       where not exists (select 1 from entry e where e.id = g.id)`,
    )
    .all();
  const grants = new Map<string, GrantRecord[]>();
  for (const { budget, account, ...grant } of found) {
    const key = keyOf(budget, account);
    grants.set(key, [...(grants.get(key) ?? []), grant]);
  }
  return grants;
};

/** The ledger as it was at one entry after the other. */
type Past = {
  see: (rec: Rec, kind: string, body: string | null) => void;
  balances: (facts: Facts) => Balance[];
};

const lineageMax = 64;

const createPast = (db: Database): Past => {
  const sums = createSums();
  for (const balance of readClosing(db)?.balances ?? []) sums.add(balance);
  const grants = prunedGrants(db);
  const pseudonym = db
    .prepare<[string, string], string>(
      "select name from pseudonym where kind = 'account' and type = ? and id = ?",
    )
    .pluck();
  const run = db.prepare<[string, Micros], { parent: string | null }>(
    "select parent from run where id = ? and started_at <= ?",
  );
  const runsOf = ({ run: id, parentRun, at }: Facts): string[] => {
    const runs = id === undefined ? [] : [id];
    for (let next = id; next !== undefined && runs.length < lineageMax;) {
      const parent: string | undefined = run.get(next, at)?.parent ?? undefined;
      if (parent === undefined || runs.includes(parent)) break;
      runs.push(parent);
      next = parent;
    }
    return parentRun === undefined || runs.includes(parentRun) ? runs : [...runs, parentRun];
  };
  const balanceOf = (touch: Touch, account: string, at: Micros): Balance => {
    const { budget, unit, mode, limit, amount, as, countedFrom, resetsAt } = touch;
    const name = pseudonym.get(budget, account);
    const granted = (grants.get(keyOf(budget, account)) ?? [])
      .filter(({ from, until }) => from <= at && until > at)
      .reduce((sum, grant) => sum + grant.amount, 0);
    return {
      budget,
      account,
      unit,
      mode,
      limit: limit + granted,
      ...sums.since(keyOf(budget, name ?? ""), countedFrom),
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
      const key = keyOf(budget, account);
      grants.set(key, [...(grants.get(key) ?? []), { amount, from, until }]);
    },
    balances: (facts) =>
      (facts.demand?.touches ?? []).flatMap((touch) =>
        accountsOf(touch, runsOf(facts)).map((account) => balanceOf(touch, account, facts.at)),
      ),
  };
};

const within = ({ from, to }: RecordedFilter): string =>
  `kind = 'decision' and at >= ${from ?? 0} and at < ${to ?? Number.MAX_SAFE_INTEGER}`;

/** The index of the first decision that is wanted. */
const firstOf = (db: Database, filter: RecordedFilter): number => {
  if (filter.last === undefined) return 0;
  const first = db
    .prepare<[number], number>(
      `select min(idx) from (select idx from entry where ${within(filter)} order by idx desc limit ?)`,
    )
    .pluck()
    .get(filter.last);
  return first ?? 0;
};

const recordedOf = (row: Row, rec: Rec, facts: Facts, balances: Balance[]): RecordedDecision => ({
  index: row.idx,
  facts,
  balances,
  decision: rec.decision === "permit",
  reason: rec.reason,
  policies: rec.policies,
  ...(rec.replay_of === undefined ? {} : { replayOf: rec.replay_of }),
});

function* actsOf(db: Database, filter: RecordedFilter): Generator<RecordedAct> {
  const past = createPast(db);
  const first = firstOf(db, filter);
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = filter;
  const rows = db.prepare<[], Row>(
    "select e.idx, e.id, e.at, e.kind, e.leaf, d.body from entry e left join detail d on d.idx = e.idx order by e.idx",
  );
  let batch: string | undefined;
  let begun = false;
  let decisions: RecordedDecision[] = [];
  let wanted = new Set<number>();
  /** The batch whose decisions saw what one of them had debited that can't be judged again. */
  let obscured: string | undefined;
  for (const row of rows.iterate()) {
    const { rec } = JSON.parse(row.leaf.toString("utf8")) as { rec: Rec };
    if (decisions.length > 0 && (rec.batch === undefined || rec.batch !== batch)) {
      if (wanted.size > 0) yield { decisions, wanted };
      decisions = [];
      wanted = new Set();
    }
    batch = rec.batch;
    const isWanted = row.idx >= first && row.at >= from && row.at < to;
    // Of a batch all are needed: each may have seen what those before it debited.
    if (row.kind === "decision" && (isWanted || batch !== undefined)) {
      const facts = row.body === null ? undefined : readFacts(row.body);
      const name = { index: row.idx, id: row.id };
      // Of a batch whose first items were pruned nobody knows what they debited.
      if (!begun && (rec.item ?? 0) > 0) obscured = batch;
      begun = true;
      if (facts && !facts.blind && (batch === undefined || batch !== obscured)) {
        decisions.push(recordedOf(row, rec, facts, past.balances(facts)));
        if (isWanted) wanted.add(row.idx);
      } else {
        // What it had debited was undone, and is in no entry.
        if (rec.reason === "all_or_nothing") obscured = batch;
        if (isWanted) yield facts ? { withheld: name } : { erased: name };
      }
    }
    past.see(rec, row.kind, row.body);
  }
  if (wanted.size > 0) yield { decisions, wanted };
}

/** Opens a ledger for reading. @throws Problem `not_found` where there is none, `not_ready` where it is of another version */
export const openRecorded = (file: string): RecordedReader => {
  let db: Database;
  try {
    db = new Sqlite(file, { readonly: true, fileMustExist: true });
  } catch (error) {
    throw new Problem("not_found", `there is no ledger at \`${file}\``, { cause: error });
  }
  const version = Number(db.pragma("user_version", { simple: true }));
  if (version !== newestVersion) {
    db.close();
    const detail = `the ledger is of version ${version}, this is for ${newestVersion}: start the service once`;
    throw new Problem("not_ready", detail);
  }
  const source = db.prepare<[string], string>("select body from policy_set where digest = ?").pluck();
  return {
    count: (filter) => {
      const all = db
        .prepare<[], number>(`select count(*) from entry where ${within(filter)}`)
        .pluck()
        .get()!;
      return filter.last === undefined ? all : Math.min(all, filter.last);
    },
    acts: (filter) => actsOf(db, filter),
    pruned: prunedBefore(db),
    policySet: (digest) => {
      const body = source.get(digest);
      if (body === undefined) throw new Problem("not_found", `the policy set \`${digest}\` isn't kept`);
      return body;
    },
    close: () => db.close(),
  };
};
