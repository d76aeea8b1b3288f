/**
 * Conditions that stand alone, as delegations have them: what stands in `when { … }`, read and validated like a policy that
 * permits under it. Cedar's text is the only form in which they are kept.
 */
import type { Uid } from "../kit/cedar-json.ts";
import { failuresOf, type Promised } from "./can-err.ts";
import { type Cedar, CedarTrap } from "./cedar.ts";
import type { CompiledPolicy } from "./policy-set.ts";
import { readPolicy } from "./read-policy.ts";

/** Characters. */
export const conditionLengthMax = 4096;

/** What a condition is evaluated for. */
export type ConditionHead = { principalType: string; actions: readonly Uid[]; resourceType?: string };

export type ReadCondition = {
  policy: CompiledPolicy;
  /** How many entities in a row it can look into. */
  reach: number;
};

const before = '@id("condition") permit (principal, action, resource) when {\n';

const textOf = (condition: string): string => `${before}${condition}\n};`;

const faultAt = (condition: string, { message, offset }: { message: string; offset: number }): string => {
  const at = offset - before.length;
  // Nobody wrote a policy.
  const why = message.replace(/^failed to parse policy from string: /, "");
  if (at < 0) return why;
  return at < condition.length ? `${why}, at character ${at + 1}` : `${why}, at its end`;
};

/** What it may not look at: what is read after delegations are, and entities that no question names. */
const forbiddenIn = (
  read: Extract<ReturnType<typeof readPolicy>, { policy: unknown }>,
): string | undefined => {
  const [named] = read.budgets.names;
  if (named !== undefined || read.budgets.whole) return "a condition can't look at `context.remit.budgets`";
  const [literal] = read.literals;
  if (literal)
    return `a condition can't look into \`${literal.type}::${JSON.stringify(literal.id)}\`, which no question names`;
  return undefined;
};

/** Reads a condition, or says what is wrong with it. */
export const readCondition = (cedar: Cedar, condition: string): ReadCondition | { fault: string } => {
  if (condition.length > conditionLengthMax) return { fault: `longer than ${conditionLengthMax} characters` };
  const read = readPolicy(cedar, textOf(condition));
  if ("faults" in read) return { fault: faultAt(condition, read.faults[0]!) };
  const { policy, reach } = read;
  const [only, ...others] = policy.json.conditions;
  // The text may have closed the brace that was opened for it.
  if (!only || others.length > 0 || only["kind"] !== "when")
    return { fault: "it must be one condition: what stands between the braces of `when`" };
  const fault = forbiddenIn(read);
  if (fault !== undefined) return { fault };
  return { policy: { ...policy, place: { file: "condition", line: 1, column: 1 } }, reach };
};

const headJson = ({ principalType, actions, resourceType }: ConditionHead) => ({
  principal: { op: "is" as const, entity_type: principalType },
  action:
    actions.length === 0
      ? { op: "All" as const }
      : { op: "in" as const, entities: actions.map(({ type, id }) => ({ type, id })) },
  resource:
    resourceType === undefined ? { op: "All" as const } : { op: "is" as const, entity_type: resourceType },
});

/** Why a condition isn't valid under a schema for these questions, or nothing. */
export const conditionFault = (
  cedar: Cedar,
  schema: string,
  { policy }: ReadCondition,
  head: ConditionHead,
): string | undefined => {
  try {
    const { conditions } = policy.json;
    const answer = cedar.call((module) =>
      module.validate({
        schema,
        validationSettings: { mode: "strict" },
        policies: {
          staticPolicies: {
            // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Cedar's own form of the conditions, as its parser made it
            condition: { effect: "permit", ...headJson(head), conditions } as never,
          },
        },
      }),
    );
    if (answer.type === "failure") return answer.errors.map(({ message }) => message).join("; ");
    const [error] = answer.validationErrors;
    return error && messageOf(error.error);
  } catch (error) {
    if (!(error instanceof CedarTrap)) throw error;
    return "nested too deeply for the validator";
  }
};

/** Cedar names the policy that was made of it, which nobody wrote. */
const messageOf = ({ message, help }: { message: string; help: string | null }): string =>
  `${message.replace(/^for policy `condition`, /, "")}${help === null ? "" : ` (${help})`}`;

/** Where the evaluation of a valid condition can fail, or nothing. */
export const conditionFailure = ({ policy }: ReadCondition, promised: Promised): string | undefined => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one of them, whose kind was read
  const conditions = policy.json.conditions as { kind: string; body: unknown }[];
  return failuresOf(conditions, promised)[0]?.failure.why;
};
