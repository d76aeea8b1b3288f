/** What deciding needs kept: one atomic, durable act. */
import type { Micros } from "../kit/clock.ts";
import type { JsonObject } from "../kit/json.ts";
import type { Recorder } from "./recording.ts";
import type { Admit, Balances, Decided, Facts, Judge, Reason, Verdict } from "./question.ts";

/**
 * One act: the questions of one request, judged and recorded in order, all in one commit. `facts` are the JSON
 * texts of `Facts`: serialised once, parsed where they are judged, and stored as they are.
 * `until` stops after the first such decision (AuthZEN §7.1.2); the questions after it are neither judged nor recorded.
 */
export type Act = {
  /** When it was asked. */
  at: Micros;
  facts: string[];
  until?: "deny" | "permit";
  /** Unless every question is permitted, all are denied and nothing is consumed; `spoilt`: one could not even be asked. */
  allOrNothing?: "try" | "spoilt";
  /** What its facts were gathered on, where others may have changed it since. */
  known?: Epochs;
};

/** What processes that share a store hold of it in memory. */
export type SharedPart = "agents" | "callers" | "entities" | "policies";

/** How often each part was changed, by whichever process. */
export type Epochs = Record<SharedPart, number>;

/** Whether a delegate's condition holds of a question; where it can't be told it doesn't, and `fault` says why. */
export type Holds = (
  facts: Facts,
  delegate: string,
  condition: { text: string; reach: number },
) => { holds: boolean; fault?: string };

/**
 * A store is opened with these; it calls them inside the act. `engine` is written into entries of questions that no engine
 * was asked about; without `holds` no condition does. `recorder` stands before what is written of questions; without one, all of it is kept.
 */
export type Bound = {
  judge: Judge;
  admit: Admit;
  holds?: Holds;
  readonly engine: string;
  readonly recorder?: Recorder;
};

export type DecisionStore = {
  /**
   * Judges, admits and records. Resolves only after the commit is durable.
   * `stale`: agents, entities or policies were changed since its facts were gathered; nothing was decided.
   * @throws Problem `ledger_unavailable` when nothing could be recorded; then nothing was decided
   */
  decide: (act: Act) => Promise<Decided[] | "stale">;
};

/** A search, as it is recorded: what was asked and what was answered. */
export type SearchCommand = {
  id: string;
  at: Micros;
  kind: "subject" | "resource" | "action";
  /** The facts of the question around what was searched; it bears a name that nothing has. */
  frame: Facts;
  /** The type that was searched; absent where actions were. */
  searched?: { name: string; known: boolean };
  /** How many results were answered, the digest of them, and whether they were all. */
  results: number;
  digest: string;
  complete: boolean;
  /** What was asked, as it was asked. */
  query: JsonObject;
};

/** What trying and searching need of the store. */
export type TrialStore = {
  /**
   * Judges and admits questions as they would be decided at this moment; nothing is consumed and nothing recorded.
   * @throws Problem `ledger_unavailable`
   */
  tryOut: (facts: readonly string[]) => Promise<Verdict[]>;
  /** The accounts that a question touches, as they are at this moment. @throws Problem `ledger_unavailable` */
  balancesOf: (facts: string) => Promise<Balances>;
  /** Records a search and gives its index; it was answered when this resolved. */
  recordSearch: (command: SearchCommand) => Promise<number>;
};

/** A decision as it was recorded, with the facts and balances that it was made on. */
export type RecordedDecision = {
  index: number;
  facts: Facts;
  balances: Balances;
  decision: boolean;
  reason: Reason;
  /** As the entry tells them: bounded. */
  policies: readonly string[];
  /** The decision that this one answers again. */
  replayOf?: string;
};

/** Which decisions: those from one instant on and before another, and of them the newest `last`. */
export type RecordedFilter = { from?: Micros; to?: Micros; last?: number };

/** A decision, named. */
export type RecordedName = { index: number; id: string };

/**
 * The decisions of one act, in order, and the indices of those that the filter lets through; or a decision that can't be judged
 * again: its detail is no longer there, or not all of what it was judged on was kept.
 */
export type RecordedAct =
  | { decisions: RecordedDecision[]; wanted: ReadonlySet<number> }
  | { erased: RecordedName }
  | { withheld: RecordedName };

/** What was recorded, for judging again. */
export type RecordedReader = {
  /** How many decisions the filter lets through. */
  count: (filter: RecordedFilter) => number | Promise<number>;
  acts: (filter: RecordedFilter) => Iterable<RecordedAct> | AsyncIterable<RecordedAct>;
  /** How many entries from the beginning were pruned to their hashes, with the decisions among them. */
  pruned: number;
  /** The source of a policy set. @throws Problem `not_found` */
  policySet: (digest: string) => string | Promise<string>;
  close: () => void | Promise<void>;
};
