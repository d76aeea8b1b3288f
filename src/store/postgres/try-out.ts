/** Questions tried out on what is committed: rows are fetched as they are wanted, and whatever was changed is thrown away. */
import type { Decided, Balances, Verdict } from "../../decision/question.ts";
import type { Act, Bound } from "../../decision/store.ts";
import { createActs, performOne } from "../acts/perform.ts";
import { balancesAsked, tryAll } from "../acts/try-out.ts";
import type { Commits } from "./commit.ts";
import type { Book } from "../acts/hold-acts.ts";

/** What tries without deciding. */
export type Trials = {
  /** Judges and admits questions as they would be decided now; nothing is consumed and nothing recorded. */
  tryOut: (facts: readonly string[]) => Promise<Verdict[]>;
  /** The accounts that a question touches, as they are now. */
  balancesOf: (facts: string) => Promise<Balances>;
  /** Decides, and takes everything back. */
  tryAct: (act: Act) => Promise<Decided[]>;
};

export const createTrials = ({ look }: Pick<Commits, "look">, bound: Bound, book: () => Book): Trials => ({
  tryOut: (facts) => look((desk, warn) => tryAll(desk, bound, facts, warn)),
  balancesOf: (facts) => look((desk) => balancesAsked(desk, bound, facts)),
  tryAct: (act) =>
    look((desk, warn) => {
      const command = { kind: "decide" as const, act };
      const acts = createActs(bound, warn);
      const done = performOne(desk, command, () => acts.perform({ desk, book: book() }, command), warn);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a decision is always a value
      return (done as { value: Decided[] }).value;
    }),
});
