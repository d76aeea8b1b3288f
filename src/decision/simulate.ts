/**
 * Decisions judged again, from what was kept of them: under the policies of then, which must give what was recorded,
 * or under other ones, to see what they would change.
 */
import { type Balance } from "../budget/budget.ts";
import type { Balances, Facts, Judge, Reason, Verdict } from "./question.ts";
import { boundedNames } from "./record.ts";
import type { RecordedDecision } from "./store.ts";
import { tryFacts } from "./trial.ts";

/** What a decision would be. */
export type Again = Pick<Verdict, "decision" | "reason"> & { policies: readonly string[] };

/** Denials that come from other questions than this one: other policies would not lift them. */
const beyondPolicies: ReadonlySet<Reason> = new Set(["runaway_limit", "loop_detected"]);

/** What a verdict tells, bounded as an entry tells it. */
export const againOf = ({ decision, reason, policies }: Verdict): Again => {
  const names = boundedNames(policies);
  return { decision, reason, policies: Array.isArray(names) ? names.map(String) : [] };
};

/** Whether two tell the same: decision, reason and policies. */
export const tellsSame = (a: Again, b: Again): boolean =>
  a.decision === b.decision &&
  a.reason === b.reason &&
  JSON.stringify(a.policies) === JSON.stringify(b.policies);

/** What the questions before it in an undone batch had debited when it was tried. */
type Debited = Map<string, { used: number; held: number }>;

const keyOf = ({ budget, account }: Balance): string => JSON.stringify([budget, account]);

const withDebited = (balances: Balances, debited: Debited): Balance[] =>
  balances.map((balance) => {
    const { used = 0, held = 0 } = debited.get(keyOf(balance)) ?? {};
    return { ...balance, used: balance.used + used, held: balance.held + held };
  });

const debit = (debited: Debited, { consumption, decision }: Verdict): void => {
  for (const balance of decision ? (consumption?.budgets ?? []) : []) {
    const { used, held } = debited.get(keyOf(balance)) ?? { used: 0, held: 0 };
    const { amount, as } = balance;
    debited.set(keyOf(balance), {
      used: used + (as === "use" ? amount : 0),
      held: held + (as === "hold" ? amount : 0),
    });
  }
};

const again = (judge: Judge, recorded: RecordedDecision, facts: Facts, debited: Debited): Again => {
  const { reason, decision, policies } = recorded;
  const asRecorded: Again = { decision, reason, policies };
  // The run was begun by another: nothing was judged.
  if (reason === "identity_mismatch" && !facts.refusal) return asRecorded;
  const balances = withDebited(recorded.balances, debited);
  if (beyondPolicies.has(reason)) {
    const verdict = judge(facts, balances);
    return verdict.decision ? asRecorded : againOf(verdict);
  }
  const verdict = tryFacts(judge, facts, balances);
  if (reason === "all_or_nothing" && verdict.decision) {
    if (!facts.dryRun) debit(debited, verdict);
    return asRecorded;
  }
  return againOf(verdict);
};

/** The first answer tells what was judged; where a key was used for another question, nothing was. */
const isRepeated = ({ replayOf, reason }: RecordedDecision): boolean =>
  replayOf !== undefined || reason === "already_finished";

/**
 * Judges the decisions of one act again, in their order: of a batch that was all or nothing, each saw what those before
 * it had debited before all were undone. `adapted` turns the facts to the policies that judge now. Answers given again
 * under their key were not judged then, and are not now.
 */
export const judgeAgain = (
  judge: Judge,
  act: readonly RecordedDecision[],
  adapted: (facts: Facts) => Facts = (facts) => facts,
): (Again | "repeated")[] => {
  const debited: Debited = new Map();
  return act.map((recorded) =>
    isRepeated(recorded) ? "repeated" : again(judge, recorded, adapted(recorded.facts), debited),
  );
};
