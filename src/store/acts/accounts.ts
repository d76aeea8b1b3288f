/** Accounts and their windows as acts meet them: balances as they are, and moves of consumption. */
import type { Balance, Touch } from "../../budget/budget.ts";
import type { Grant } from "../../budget/store.ts";
import type { Micros } from "../../kit/clock.ts";

/** An account as an act meets it: its balance, its row, and the window that amounts are written to. */
export type Loaded = Balance & { row: number; start: Micros; touch: Touch };

/** A change of one window of an account. */
export type Move = { row: number; start: Micros; used: number; held: number };

/** A move as entries tell it. */
export type NamedMove = { budget: string; account: string; start: Micros; used: number; held: number };

export type Accounts = {
  /** The accounts that touches mean, opened where they are new. `runs`: the run and those above it. */
  load: (touches: readonly Touch[], runs: readonly string[], at: Micros) => Loaded[];
  /** What the periods from one start to another, both included, come to; without the latter, to the latest. */
  balance: (row: number, countedFrom: Micros, to?: Micros) => Sum;
  /** What is used in each period from a start on, oldest first, where it is more than nothing. */
  used: (row: number, countedFrom: Micros) => { start: Micros; used: number }[];
  /** What grants add to an account's limit at an instant. */
  granted: (budget: string, account: string, at: Micros) => number;
  grant: (grant: Grant) => void;
  /** @throws Problem `conflict` where a balance would be more than can be counted exactly */
  move: (moves: readonly Move[]) => void;
  name: (row: number) => { budget: string; account: string };
  /** The row of an account, if it was ever opened. */
  find: (budget: string, account: string) => number | undefined;
  open: (budget: string, account: string) => number;
  /** `load` for who only looks: none is opened. */
  look: Accounts["load"];
};

/** What windows come to. */
export type Sum = { used: number; held: number };

/** The row of an account that was never opened, where none is to be: nothing is on it. */
export const unopened = -1;

/** An account as a touch meets it. */
export const loadedOf = (touch: Touch, account: string, row: number, granted: number, sum: Sum): Loaded => ({
  budget: touch.budget,
  account,
  unit: touch.unit,
  mode: touch.mode,
  limit: touch.limit + granted,
  used: sum.used,
  held: sum.held,
  ...(touch.resetsAt === undefined ? {} : { resetsAt: touch.resetsAt }),
  amount: touch.amount,
  as: touch.as,
  row,
  start: touch.start,
  touch,
});
