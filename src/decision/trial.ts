/** A question tried out: gathered, judged and admitted as in an act, against balances that are given; nothing is recorded. */
import { accountsMax, accountsOf } from "../budget/account.ts";
import type { Balance } from "../budget/budget.ts";
import { balancesAfter, boughtBy, denialOf, refusedBy } from "./admitted.ts";
import { admit } from "./judge.ts";
import type { Balances, Facts, Judge, Verdict } from "./question.ts";

/** What is on an account, however it came there. */
export type Assumed = { used?: number; held?: number; limit?: number };

/** What to assume of an account; nothing means untouched. `uncounted`: as if the budget didn't count the question. */
export type Assumption = (budget: string, account: string) => Assumed | "uncounted";

/** The accounts that a question touches, as they are assumed to be. A run has no parents here. */
export const assumedBalances = (facts: Facts, assume: Assumption): Balance[] =>
  (facts.demand?.touches ?? []).flatMap((touch) =>
    accountsOf(touch, facts.run === undefined ? [] : [facts.run]).flatMap((account): Balance[] => {
      const assumed = assume(touch.budget, account);
      if (assumed === "uncounted") return [];
      const { used = 0, held = 0, limit = touch.limit } = assumed;
      const { budget, unit, mode, amount, as, resetsAt } = touch;
      const resets = resetsAt === undefined ? {} : { resetsAt };
      return [{ budget, account, unit, mode, limit, used, held, amount, as, ...resets }];
    }),
  );

/** What an act would answer: the judgement, and for a permit the admission. Runs and repeated questions are no part of it. */
export const tryFacts = (judge: Judge, facts: Facts, balances: Balances): Verdict => {
  const verdict = judge(facts, balances);
  if (!verdict.decision) return verdict;
  if (balances.length > accountsMax)
    return denialOf("no_budget", `more than ${accountsMax} accounts would have to be debited`);
  const admission = admit(facts, balances);
  if (!admission.admitted) return refusedBy(admission, facts);
  if (!facts.demand) return verdict;
  const { estimated } = facts.demand;
  return boughtBy(verdict, admission, { estimated }, balancesAfter(admission.balances));
};
