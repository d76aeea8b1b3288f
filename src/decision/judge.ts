/**
 * The judgement: pure and synchronous, facts in, verdict out. With a chain it is an intersection: the question is
 * asked for the subject and for every agent of the chain, all must be permitted, and any forbid wins.
 */
import type { EngineAnswer } from "../policy/answer.ts";
import type { ConditionEngine } from "../policy/condition-engine.ts";
import type { Engine } from "../policy/engine.ts";
import type { CompiledPolicy } from "../policy/policy-set.ts";
import { admitDemand } from "../budget/admit.ts";
import { capOutputTokens } from "../budget/budget.ts";
import { budgetFacts } from "./budget-facts.ts";
import type { Holds } from "./store.ts";
import type { Admit, Balances, Facts, Judge, Obligation, Reason, Verdict } from "./question.ts";

type Answered = Exclude<EngineAnswer, { failure: string }>;

const byId = (a: CompiledPolicy, b: CompiledPolicy): number => (a.id < b.id ? -1 : 1);

/** Policies without repetition, in the order of their ids. */
const union = (lists: readonly (readonly CompiledPolicy[])[]): CompiledPolicy[] =>
  [...new Map(lists.flat().map((policy) => [policy.id, policy])).values()].sort(byId);

const verdictOf = (
  decision: boolean,
  reason: Reason,
  policies: readonly CompiledPolicy[],
  detail?: string,
): Verdict => ({
  decision,
  reason,
  policies: policies.map(({ id }) => id),
  obligations: policies.flatMap(({ id, notes: { obligation } }): Obligation[] =>
    obligation ? [{ id, ...obligation }] : [],
  ),
  messages: policies.flatMap(({ notes }) => notes.reason ?? []),
  advice: policies.flatMap(({ notes }) => notes.advice ?? []),
  ...(detail === undefined ? {} : { detail }),
});

const failures = (answers: readonly Answered[]): string | undefined => {
  const texts = answers.flatMap(({ errors }) =>
    errors.map(({ policy, message }) => `\`${policy.id}\`: ${message}`),
  );
  return texts.length === 0 ? undefined : [...new Set(texts)].sort().join("; ");
};

const judgeAnswers = (answers: readonly Answered[], supported: readonly string[]): Verdict => {
  const failed = failures(answers);
  // Cedar skips a policy that errs; skipping a forbid would fail open.
  const errantForbids = union(
    answers.map(({ errors }) =>
      errors.map(({ policy }) => policy).filter(({ effect }) => effect === "forbid"),
    ),
  );
  if (errantForbids.length > 0) return verdictOf(false, "policy_error", errantForbids, failed);
  const denied = answers.filter(({ decision }) => decision === "deny");
  const forbids = union(denied.map(({ determining }) => determining));
  if (forbids.length > 0) return verdictOf(false, "policy_forbid", forbids, failed);
  if (answers[0]!.decision === "deny") return verdictOf(false, "no_permit", [], failed);
  if (denied.length > 0) return verdictOf(false, "delegation_denied", [], failed);
  const permit = verdictOf(
    true,
    "policy_permit",
    union(answers.map(({ determining }) => determining)),
    failed,
  );
  const unsupported = permit.obligations.filter(({ type }) => !supported.includes(type));
  if (unsupported.length === 0) return permit;
  const types = unsupported.map(({ type }) => `\`${type}\``).join(", ");
  return { ...permit, decision: false, reason: "obligation_unsupported", detail: `unsupported: ${types}` };
};

const judgeAll = (answers: readonly EngineAnswer[], supported: readonly string[]): Verdict => {
  const answered: Answered[] = [];
  for (const answer of answers) {
    if ("failure" in answer) return verdictOf(false, "policy_error", [], answer.failure);
    answered.push(answer);
  }
  if (answered.length === 0) return verdictOf(false, "policy_error", [], "nobody was asked for");
  return judgeAnswers(answered, supported);
};

/** A judge over an engine. An engine that traps throws: the act that asked is denied, and the next one meets a healed engine. */
export const createJudge =
  (engine: Engine): Judge =>
  (facts: Facts, balances: Balances): Verdict => {
    if (facts.refusal) return verdictOf(false, facts.refusal.reason, [], facts.refusal.detail);
    if (!facts.ask) return verdictOf(false, "policy_error", [], "the facts hold no question for Cedar");
    const asked = engine.ask(facts.policySet, budgetFacts(facts.ask, balances, facts.budgetsSeen));
    return { ...judgeAll(asked.answers, facts.supportedObligations), engine: asked.engine };
  };

/** Tells whether conditions of delegations hold, over an engine for them. */
export const createHolds =
  (conditions: Pick<ConditionEngine, "holds">): Holds =>
  ({ ask, policySet, reach = 1, ...facts }, delegate, { text, reach: wanted }) => {
    const acting = facts.subjectActs ? [facts.subject, ...facts.actors] : facts.actors;
    const member = acting.find(({ id }) => id === delegate);
    const principal = member && { type: member.type, id: member.id };
    if (!ask || !principal) return { holds: false, fault: "the delegate isn't asked for" };
    // What it would look into was not gathered: it was recorded meanwhile.
    if (wanted > reach) return { holds: false, fault: "it looks further than the question was gathered for" };
    return conditions.holds(policySet, ask, principal, text);
  };

/** Admission: nothing is unlimited by default, so a metered action that no budget covers is denied. */
export const admit: Admit = (facts, balances) =>
  admitDemand(facts.demand, balances, facts.supportedObligations.includes(capOutputTokens));
