/** The decision as an act: judged, admitted, debited and recorded in one go, inside one transaction. */
import type { Admission } from "../../budget/admit.ts";
import type { Balance, Consumption, Demand } from "../../budget/budget.ts";
import { countedUnits } from "../../budget/budget.ts";
import { balancesAfter, boughtBy, denialOf, finishedDenial, refusedBy } from "../../decision/admitted.ts";
import { factsText, readFacts } from "../../decision/facts-text.ts";
import type { Decided, Facts, Refusal, Verdict } from "../../decision/question.ts";
import { recordOf } from "../../decision/record.ts";
import type { Act, Bound } from "../../decision/store.ts";
import { accountsMax } from "../../budget/account.ts";
import type { Loaded, NamedMove } from "./accounts.ts";
import { keyRefusal } from "./agent-keys.ts";
import { contain } from "./contain.ts";
import { delegationRefusal } from "./delegations.ts";
import { agentIds, killRefusal } from "./kills.ts";
import { applyMoves, type Desk } from "./desk.ts";
import { holdId } from "./holds.ts";
import { runawayFound, runFound } from "./run-rules.ts";
import type { Crossing } from "./told.ts";

/** Decides one act with the desk of this transaction. */
export type Decide = (desk: Desk, act: Act) => Decided[];

type Judged = {
  verdict: Verdict;
  moves: readonly NamedMove[];
  /** What was used at once, by unit. */
  used: Record<string, number>;
  replayOf?: string;
  /** Runaway protection found something, whether or not it denies. */
  ranAway?: boolean;
};

/** What names the chains of a question's agents: ids, or pseudonyms where their type is personal. */
export const agentNames = (desk: Desk, { agents, subject, subjectActs, actors }: Facts): string[] => {
  const acting = subjectActs ? [subject, ...actors] : actors;
  return agents.map((id) => {
    const personal = acting.find((named) => named.id === id && named.personal);
    return personal ? desk.append.names("entity", personal.type, id) : id;
  });
};

/** Debits what was admitted: what counts at once is used, the rest is held under a hold of its own. */
const debit = (
  desk: Desk,
  facts: Facts,
  demand: Demand | undefined,
  admission: Extract<Admission, { admitted: true }>,
  loaded: readonly Loaded[],
): { consumption: Omit<Consumption, "budgets">; moves: NamedMove[]; used: Record<string, number> } => {
  const estimated = demand?.estimated ?? false;
  const used: Record<string, number> = {};
  const moves = loaded.map(({ row, start, as, unit }, position) => {
    const { amount } = admission.balances[position]!;
    if (as === "use") used[unit] = amount;
    return { row, start, used: as === "use" ? amount : 0, held: as === "hold" ? amount : 0 };
  });
  const named = applyMoves(desk, moves);
  const keyed = facts.idempotency !== undefined && demand !== undefined;
  const consumption: Omit<Consumption, "budgets"> = { estimated };
  if (demand && (demand.holds || keyed)) {
    const amounts = Object.fromEntries(
      Object.entries(admission.amounts).filter(([unit]) => !countedUnits.has(unit)),
    );
    const index = desk.append.next();
    const id = holdId(index);
    const expiresAt = facts.at + demand.holdTtlMs * 1000;
    desk.holds.insert(index, {
      id,
      decision: facts.id,
      caller: facts.caller,
      state: "open",
      createdAt: facts.at,
      expiresAt,
      amounts,
      settled: {},
      late: false,
      overrun: false,
      ...(demand.priced ? { price: demand.priced.price } : {}),
      ...(facts.run === undefined ? {} : { run: facts.run }),
      dimensions: facts.dimensions ?? {},
      agents: agentNames(desk, facts),
      lines: loaded.flatMap(({ row, start, as, unit, touch }, position) =>
        as === "use"
          ? []
          : [
              {
                row,
                start,
                unit,
                held: admission.balances[position]!.amount,
                charged: 0,
                onLapse: touch.onLapse,
              },
            ],
      ),
    });
    if (demand.holds) consumption.hold = { id, expiresAt, amounts };
  }
  if (facts.run !== undefined) desk.runs.count(facts.run, 1, admission.amounts["usd_micros"] ?? 0);
  return { consumption, moves: named, used };
};

const crossingsOf = (loaded: readonly Loaded[], facts: Facts, after: readonly Balance[]): Crossing[] =>
  loaded.map(({ row, start, touch: { alerts, spanMicros } }, position) => {
    const { budget, account, unit, limit, used, as, amount } = after[position]!;
    const more = as === "use" ? amount : 0;
    const span = spanMicros === undefined ? {} : { spanMicros };
    return { row, budget, account, unit, start, limit, used, alerts, at: facts.at, more, ...span };
  });

/** A question that policies permit, at the budgets. */
const admitted = (
  desk: Desk,
  bound: Bound,
  facts: Facts,
  loaded: readonly Loaded[],
  permit: Verdict,
): Judged => {
  const { demand } = facts;
  if (loaded.length > accountsMax) {
    const detail = `more than ${accountsMax} accounts would have to be debited`;
    return { verdict: denialOf("no_budget", detail), moves: [], used: {} };
  }
  const admission = bound.admit(facts, loaded);
  if (!admission.admitted) {
    if (!facts.dryRun && admission.reason === "budget_exhausted") {
      const denied = new Set(admission.breaches.map(({ balance }) => balance));
      for (const [position, crossing] of crossingsOf(loaded, facts, loaded).entries())
        if (denied.has(loaded[position]!)) desk.told.exhausted(crossing);
    }
    return { verdict: refusedBy(admission, facts), moves: [], used: {} };
  }
  const after = balancesAfter(admission.balances);
  if (facts.dryRun) {
    const estimated = demand?.estimated ?? false;
    return { verdict: boughtBy(permit, admission, { estimated }, after), moves: [], used: {} };
  }
  const { consumption, moves, used } = debit(desk, facts, demand, admission, loaded);
  for (const crossing of crossingsOf(loaded, facts, after)) desk.told.crossed(crossing);
  const verdict = demand ? boughtBy(permit, admission, consumption, after) : permit;
  return { verdict, moves, used };
};

/** The accounts that a question touches, those of its runs included. */
export const loadAccounts = (desk: Desk, facts: Facts): Loaded[] => {
  const runs = facts.run === undefined ? [] : desk.runs.lineage(facts.run);
  if (facts.parentRun !== undefined && !runs.includes(facts.parentRun)) runs.push(facts.parentRun);
  return facts.demand ? desk.accounts.load(facts.demand.touches, runs, facts.at) : [];
};

/** What comes of a judgement at the budgets and the runs; the entry tells which engine judged. */
export const judgeFresh = (desk: Desk, bound: Bound, facts: Facts): Judged => {
  const begun = runFound(desk, facts);
  if (begun.denial) return { verdict: begun.denial, moves: [], used: {}, ranAway: begun.ranAway };
  const loaded = loadAccounts(desk, facts);
  const verdict = bound.judge(facts, loaded);
  const runaway = runawayFound(desk, facts, verdict.decision);
  const ranAway = begun.ranAway || runaway.ranAway;
  if (!verdict.decision) return { verdict, moves: [], used: {}, ranAway };
  const judged = runaway.denial
    ? { verdict: runaway.denial, moves: [], used: {} }
    : admitted(desk, bound, facts, loaded, verdict);
  const engine = verdict.engine === undefined ? {} : { engine: verdict.engine };
  return { ...judged, verdict: { ...judged.verdict, ...engine }, ranAway };
};

/** The question again under its key: the first answer, as long as what it reserved is open and the agents may act. */
const replay = (desk: Desk, bound: Bound, facts: Facts, first: { id: string; verdict: Verdict }): Judged => {
  const answered = (verdict: Verdict): Judged => ({ verdict, moves: [], used: {}, replayOf: first.id });
  if (facts.refusal) return answered(bound.judge(facts, []));
  if (!first.verdict.decision) return answered(first.verdict);
  const hold = desk.holds.ofDecision(first.id);
  // Nothing was consumed that could count twice, so the question is judged as it stands now: no answer outlives its policy.
  if (hold === undefined) return { ...judgeFresh(desk, bound, facts), replayOf: first.id };
  const { state, expiresAt } = desk.holds.find(hold)!;
  return answered(state === "open" && expiresAt > facts.at ? first.verdict : finishedDenial());
};

/** Nothing was answered that a retry under the same key would be owed. */
const withoutKey = ({ idempotency: _key, ...facts }: Facts): Facts => facts;

const nothing: Omit<Judged, "verdict"> = { moves: [], used: {} };

/** Ends the trial of an act that is all or nothing: it is rolled back, and told as what it came to. */
class Spoilt extends Error {
  readonly judged: readonly Judged[];
  constructor(judged: readonly Judged[]) {
    super("not all are permitted");
    this.judged = judged;
  }
}

/** What a trial came to; it moved nothing. What was answered before stays an answer given again. */
const judgedIn = (one: Decided): Judged => {
  if ("problem" in one) return { verdict: denialOf("already_finished", one.problem.detail), ...nothing };
  const { verdict, replayOf } = one;
  return { verdict, ...nothing, ...(replayOf === undefined ? {} : { replayOf }) };
};

type Write = (desk: Desk, facts: Facts, body: string, outcome: Judged) => Decided;

/** Writes what was decided, and keeps the answer where a retry may ask for it. */
const writer =
  (bound: Bound): Write =>
  (desk, facts, body, { verdict, moves, replayOf, used, ranAway = false }) => {
    const { recorder } = bound;
    const engine = verdict.engine ?? bound.engine;
    const replayed = replayOf === undefined ? {} : { replayOf };
    const index = desk.append.entry({
      id: facts.id,
      at: facts.at,
      kind: "decision",
      record: (names, detail) => recordOf(facts, verdict, names, { engine, detail, moves, ...replayed }),
      body: recorder?.detail(facts, body) ?? body,
      agents: agentNames(desk, facts),
      labels: facts.labels,
      denied: !verdict.decision,
    });
    const run = facts.run === undefined ? {} : { run: facts.run };
    desk.consumed(index, facts.at, used, { ...facts.dimensions, ...run });
    // A retry that is answered again says nothing new.
    if (replayOf === undefined) contain(desk, facts, verdict, ranAway);
    const decided: Decided = { id: facts.id, index, verdict, ...replayed };
    const { idempotency } = facts;
    if (idempotency && replayOf === undefined && !facts.dryRun)
      desk.replies.keep(
        "evaluation",
        facts.caller,
        idempotency,
        JSON.stringify({ ...decided, verdict: recorder?.verdict(verdict) ?? verdict }),
        facts.at,
      );
    return decided;
  };

const statusRefusal = (desk: Desk, facts: Facts): Refusal | undefined => {
  for (const id of agentIds(facts)) {
    const standing = desk.agents.standing(id, facts.at);
    if (standing !== "clear") return { reason: standing, detail: `the agent \`${id}\`` };
  }
  return undefined;
};

/** Nothing shows who it is whose key isn't the agent's. */
const withoutProof = ({ identity, ...facts }: Facts): Facts => ({
  ...facts,
  ...(identity ? { identity: { ...identity, assurance: "asserted", subjectAssurance: "asserted" } } : {}),
});

/** Gives the facts of a text. Nobody changes them: they may be read again. */
export type Read = (body: string) => Facts;

/** The facts as they stand in this act: what was changed since they were gathered may refuse the question. */
export const asStands = (
  desk: Desk,
  bound: Bound,
  body: string,
  read: Read = readFacts,
): { facts: Facts; body: string } => {
  const asked = read(body);
  const foreign = keyRefusal(desk.agentKeys, asked);
  const facts = foreign ? withoutProof(asked) : asked;
  if (facts.refusal) return { facts, body: foreign ? factsText(facts) : body };
  const refusal =
    statusRefusal(desk, facts) ??
    killRefusal(desk, facts) ??
    foreign ??
    delegationRefusal(desk, bound, facts);
  if (!refusal) return { facts, body };
  const { ask: _ask, demand: _demand, ...rest } = facts;
  // Whoever bears no valid key is not the one who asked before: its denial is its own.
  const refused: Facts = { ...(foreign ? withoutKey(rest) : rest), refusal };
  return { facts: refused, body: factsText(refused) };
};

/** What may be said of an error that a question caused. */
export const faultOf = ({ recorder }: Bound, error: unknown): string =>
  recorder?.fault(error) ?? (error instanceof Error ? (error.stack ?? error.message) : String(error));

type DecideOne = (desk: Desk, body: string) => Decided;

/** What throws in a judgement denies its question alone; what the database throws fails the commit. */
const deciderOfOne = (
  bound: Bound,
  { write, warn, read }: { write: Write; warn: (warning: string) => void; read: Read },
): DecideOne => {
  const answer = (desk: Desk, asked: string): Decided => {
    const { facts, body } = asStands(desk, bound, asked, read);
    const { idempotency, caller } = facts;
    const known =
      idempotency && !facts.dryRun ? desk.replies.find("evaluation", caller, idempotency.key) : undefined;
    if (!known) return write(desk, facts, body, judgeFresh(desk, bound, facts));
    if (known.fingerprint !== idempotency?.fingerprint) {
      const detail = "the idempotency key was used for another question";
      return { id: facts.id, problem: { code: "idempotency_mismatch", detail, field: "idempotency_key" } };
    }
    const first = JSON.parse(known.answer) as Extract<Decided, { verdict: Verdict }>;
    return write(desk, facts, body, replay(desk, bound, facts, first));
  };
  return (desk, body) => {
    try {
      return desk.atomically(() => answer(desk, body));
    } catch (error) {
      if (desk.isFatal(error)) throw error;
      warn(faultOf(bound, error));
      const verdict = denialOf("policy_error", "the judgement failed");
      return write(desk, withoutKey(read(body)), body, { verdict, ...nothing });
    }
  };
};

/** A decider. `warn` hears of judgements that threw: each denied its own question. */
export const createDecide = (
  bound: Bound,
  warn: (warning: string) => void,
  read: Read = readFacts,
): Decide => {
  const write = writer(bound);
  const decideOne = deciderOfOne(bound, { write, warn, read });

  const decideAll = (desk: Desk, { facts, until }: Act): Decided[] => {
    const decided: Decided[] = [];
    for (const body of facts) {
      const one = decideOne(desk, body);
      decided.push(one);
      const permitted = "verdict" in one && one.verdict.decision;
      if (until === (permitted ? "permit" : "deny")) break;
    }
    return decided;
  };

  const trial = (desk: Desk, act: Act): Decided[] => {
    const decided = decideAll(desk, act);
    const judged = decided.map(judgedIn);
    if (act.allOrNothing === "spoilt" || judged.some(({ verdict }) => !verdict.decision))
      throw new Spoilt(judged);
    return decided;
  };

  return (desk, act) => {
    if (act.allOrNothing === undefined) return decideAll(desk, act);
    try {
      return desk.atomically(() => trial(desk, act));
    } catch (error) {
      if (!(error instanceof Spoilt)) throw error;
      return error.judged.map(({ verdict, ...rest }, position) => {
        const { facts, body } = asStands(desk, bound, act.facts[position]!, read);
        const denial = verdict.decision
          ? denialOf("all_or_nothing", "another question of the batch was not permitted")
          : verdict;
        return write(desk, withoutKey(facts), body, { verdict: denial, ...rest });
      });
    }
  };
};
