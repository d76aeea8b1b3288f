/** What an engine answers. */
import type { CompiledPolicy } from "./policy-set.ts";

/** What Cedar answers for one principal. `errors` are policies whose evaluation failed, with why. */
export type EngineAnswer =
  | {
      decision: "allow" | "deny";
      determining: CompiledPolicy[];
      errors: { policy: CompiledPolicy; message: string }[];
    }
  | { failure: string };

const idsOf = (policies: readonly CompiledPolicy[]): string => JSON.stringify(policies.map(({ id }) => id));

const sameAnswer = (one: EngineAnswer, other: EngineAnswer): boolean => {
  if ("failure" in one || "failure" in other) return "failure" in one && "failure" in other;
  return (
    one.decision === other.decision &&
    idsOf(one.determining) === idsOf(other.determining) &&
    idsOf(one.errors.map(({ policy }) => policy)) === idsOf(other.errors.map(({ policy }) => policy))
  );
};

/** Whether two engines say the same: decisions, determining and erring policies. How an error is worded is their own. */
export const sameAnswers = (one: readonly EngineAnswer[], other: readonly EngineAnswer[]): boolean =>
  one.length === other.length && one.every((answer, position) => sameAnswer(answer, other[position]!));
