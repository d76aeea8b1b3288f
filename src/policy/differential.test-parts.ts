/** The compiled engine beside Cedar: the same policies and questions to both, and what each makes of them. */
import type { CedarAsk, CedarEntity, Uid } from "../kit/cedar-json.ts";
import { type Cedar, createCedar } from "./cedar.ts";
import type { PolicyJson } from "./compile-policy.ts";
import { createCompiledEngine } from "./compiled-engine.ts";
import type { CompiledPolicy, PolicySet } from "./policy-set.ts";
import { scopesOf } from "./read-policy.ts";
import { batchOf } from "./random.test-parts.ts";

/** The hierarchy that random questions use. */
export const actions: CedarEntity[] = [
  { uid: { type: "Action", id: "read" }, attrs: {}, parents: [{ type: "Action", id: "all" }] },
  { uid: { type: "Action", id: "write" }, attrs: {}, parents: [{ type: "Action", id: "all" }] },
  { uid: { type: "Action", id: "all" }, attrs: {}, parents: [] },
];

/** Policies as a set, without what only the loader checks. */
export const policySetOf = (cedar: Cedar, digest: string, texts: readonly string[]): PolicySet => ({
  digest,
  actions,
  policies: texts.map((text, position): CompiledPolicy => {
    const answer = cedar.call((module) => module.policyToJson(text));
    if (answer.type === "failure") throw new Error(`${answer.errors[0]?.message}: ${text}`);
    const json = answer.json as unknown as PolicyJson;
    return {
      id: `p${String(position).padStart(4, "0")}`,
      effect: answer.json.effect,
      text,
      place: { file: "", line: 1, column: 1 },
      ...scopesOf(json),
      json,
      notes: {},
    };
  }),
});

/** An answer in comparable form. */
export type Told = { decision: "allow" | "deny"; determining: string[]; errors: string[] };

type Asking = { question: CedarAsk; policies: PolicySet["policies"]; slot: string };

/** What Cedar says of these policies: all of them are given to it. */
const cedarSays = (cedar: Cedar, { question, slot }: Asking): Told => {
  const answer = cedar.call((module) =>
    module.statefulIsAuthorized({
      principal: question.principals[0]!,
      action: question.action,
      resource: question.resource,
      context: question.context,
      entities: [...question.entities, ...actions.filter(({ uid }) => isGroupOf(question.action, uid))],
      preparsedPolicySetId: slot,
    }),
  );
  if (answer.type === "failure") throw new Error(answer.errors.map(({ message }) => message).join("; "));
  const { decision, diagnostics } = answer.response;
  return {
    decision,
    determining: diagnostics.reason.sort(),
    errors: diagnostics.errors.map(({ policyId }) => policyId).sort(),
  };
};

const isGroupOf = (action: Uid, group: Uid): boolean => group.id === action.id || group.id === "all";

const preparse = (cedar: Cedar, slot: string, policies: PolicySet["policies"]): void => {
  const staticPolicies = Object.fromEntries(policies.map(({ id, text }) => [id, text]));
  const answer = cedar.call((module) => module.preparsePolicySet(slot, { staticPolicies }));
  if (answer.type === "failure") throw new Error(answer.errors[0]?.message);
};

/** A case of which Cedar's answer is known. */
export type KnownCase = { set: PolicySet; question: CedarAsk; right: Told };

/** Random cases of a seed with Cedar's answers. */
export const knownCases = (cedar: Cedar, seed: number, questions: number): KnownCase[] => {
  const { policies, asks } = batchOf(seed, questions);
  const set = policySetOf(cedar, String(seed), policies);
  preparse(cedar, "fuzz", set.policies);
  return asks.map((question) => ({
    set,
    question,
    right: cedarSays(cedar, { question, policies: set.policies, slot: "fuzz" }),
  }));
};

/** What the compiled engine says, and how many policies it left to the reference engine. */
export const compiledSays = (
  make: typeof createCompiledEngine,
  cases: readonly KnownCase[],
  cedar: Cedar,
): { told: Told[]; left: number } => {
  let left = 0;
  let installed: PolicySet | undefined;
  const engine = make({
    askPolicies: (_digest, question, principal, positions) => {
      left += positions.length;
      const policies = positions.map((position) => installed!.policies[position]!);
      preparse(cedar, "left", policies);
      const asked = { ...question, principals: [principal] };
      const told = cedarSays(cedar, { question: asked, policies, slot: "left" });
      return {
        decision: told.decision,
        determining: policies.filter(({ id }) => told.determining.includes(id)),
        errors: policies.flatMap((policy) =>
          told.errors.includes(policy.id) ? [{ policy, message: "" }] : [],
        ),
      };
    },
  });
  const told = cases.map(({ set, question }): Told => {
    if (installed !== set) {
      if (installed) engine.retire(installed.digest, 1);
      engine.install(set);
      installed = set;
    }
    const [answer] = engine.ask(set.digest, question).answers;
    if (!answer || "failure" in answer) throw new Error("no answer");
    return {
      decision: answer.decision,
      determining: answer.determining.map(({ id }) => id),
      errors: answer.errors.map(({ policy }) => policy.id),
    };
  });
  return { told, left };
};

/** What a run found. */
export type Findings = {
  cases: number;
  allow: number;
  deny: number;
  /** Cases in which a policy erred. */
  errors: number;
  /** Policies that were the reference engine's, by question. */
  left: number;
  differences: { seed: number; case: KnownCase; compiled: Told }[];
};

const differ = (one: Told, other: Told): boolean => JSON.stringify(one) !== JSON.stringify(other);

/** Runs random cases from a seed on, in batches over one policy set each, and compares every answer. */
export const fuzz = (
  firstSeed: number,
  cases: number,
  onProgress: (findings: Findings) => void = () => undefined,
): Findings => {
  const questions = 16;
  const cedar = createCedar();
  const found: Findings = { cases: 0, allow: 0, deny: 0, errors: 0, left: 0, differences: [] };
  for (let seed = firstSeed; found.cases < cases; seed++) {
    const known = knownCases(cedar, seed, questions);
    const { told, left } = compiledSays(createCompiledEngine, known, cedar);
    found.left += left;
    for (const [position, one] of known.entries()) {
      found.cases++;
      found[one.right.decision]++;
      if (one.right.errors.length > 0) found.errors++;
      const compiled = told[position]!;
      if (differ(one.right, compiled)) found.differences.push({ seed, case: one, compiled });
    }
    onProgress(found);
  }
  return found;
};
