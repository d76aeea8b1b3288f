/** Holds as acts find and change them. */
import type { Hold } from "../../budget/hold.ts";
import type { Dimensions } from "../../decision/question.ts";
import { secret } from "../../kit/id.ts";
import type { Micros } from "../../kit/clock.ts";

/** A hold, and whose consumption it is. */
export type KeptHold = Hold & { dimensions: Dimensions; agents: string[] };

/**
 * The id of a hold of the decision whose entry has this index: it says where the row is. Whoever knows it may settle,
 * where callers aren't told apart, so it can't be guessed.
 */
export const holdId = (index: number): string => `hold_${index.toString(36)}_${secret()}`;

export type Holds = {
  /** `index`: that of the decision's entry. */
  insert: (index: number, hold: KeptHold) => void;
  find: (id: string) => KeptHold | undefined;
  update: (hold: Hold) => void;
  /** Ids of open holds whose time is over. */
  expired: (at: Micros, limit: number) => string[];
  ofDecision: (decision: string) => string | undefined;
  /** Ids of open holds of these agents, by the names that their holds have; of all agents without any. */
  openOfAgents: (names: readonly string[] | undefined) => string[];
  /** Ids of open holds of a run and of those below it. */
  openOfRun: (run: string) => string[];
};
