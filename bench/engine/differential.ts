/** The compiled engine beside Cedar: the same policies and questions to both, and what each makes of them. */
import type { CedarAsk, CedarEntity, Uid } from "../../src/kit/cedar-json.ts";
import { type Cedar, createCedar } from "../../src/policy/cedar.ts";
import type { PolicyJson } from "../../src/policy/compile-policy.ts";
import { createCompiledEngine } from "../../src/policy/compiled-engine.ts";
import type { CompiledPolicy, PolicySet } from "../../src/policy/policy-set.ts";
import { scopesOf } from "../../src/policy/read-policy.ts";
import { batchOf } from "./questions.ts";

/** The hierarchy that random questions use. */
export const actions: CedarEntity[] = [
  { uid: { type: "Action", id: "read" }, attrs: {}, parents: [{ type: "Action", id: "all" }] },
  { uid: { type: "Action", id: "write" }, attrs: {}, parents: [{ type: "Action", id: "all" }] },
  { uid: { type: "Action", id: "all" }, attrs: {}, parents: [{ type: "Action", id: "every" }] },
  { uid: { type: "Action", id: "every" }, attrs: {}, parents: [] },
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

const isGroupOf = (action: Uid, group: Uid): boolean => [action.id, "all", "every"].includes(group.id);

const preparse = (cedar: Cedar, slot: string, texts: Record<string, string>): void => {
  const answer = cedar.call((module) => module.preparsePolicySet(slot, { staticPolicies: texts }));
  if (answer.type === "failure") throw new Error(answer.errors[0]?.message);
};

/** What Cedar says of the policies that were preparsed under a slot: all of them are given to it. */
const cedarSays = (cedar: Cedar, question: CedarAsk, slot: string, known = actions): Told => {
  const answer = cedar.call((module) =>
    module.statefulIsAuthorized({
      principal: question.principals[0]!,
      action: question.action,
      resource: question.resource,
      context: question.context,
      entities: [...question.entities, ...known.filter(({ uid }) => isGroupOf(question.action, uid))],
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

const textsOf = ({ policies }: PolicySet): Record<string, string> =>
  Object.fromEntries(policies.map(({ id, text }) => [id, text]));

/** A case of which Cedar's answer is known. */
export type KnownCase = { set: PolicySet; question: CedarAsk; right: Told };

/** Cedar's rule over what it said of each policy alone. */
const joined = (
  { policies }: PolicySet,
  applies: (id: string) => boolean,
  errs: (id: string) => boolean,
): Told => {
  const of = (effect: "permit" | "forbid"): string[] =>
    policies.filter((policy) => policy.effect === effect && applies(policy.id)).map(({ id }) => id);
  const [permits, forbids] = [of("permit"), of("forbid")];
  return {
    decision: forbids.length === 0 && permits.length > 0 ? "allow" : "deny",
    determining: forbids.length > 0 ? forbids : permits,
    errors: policies.map(({ id }) => id).filter(errs),
  };
};

/** What a policy is called in a batch of several sets. */
const named = (set: PolicySet, id: string): string => `${set.digest}/${id}`;

/**
 * Random cases of a seed with Cedar's answers. Nearly all of Cedar's time goes into reading the entities, so it is asked
 * about all policies of a batch at once, each as a permit, and says which apply and which err; for the first question of
 * some batches it is asked about each set as it is, too.
 */
export const knownCases = (cedar: Cedar, seed: number): KnownCase[] => {
  const { sets, asks } = batchOf(seed);
  const built = sets.map((texts, position) => policySetOf(cedar, `${seed}.${position}`, texts));
  const all = built.flatMap((set) =>
    set.policies.map(({ id, text }) => [named(set, id), text.replace(/^forbid/, "permit")] as const),
  );
  preparse(cedar, "batch", Object.fromEntries(all));
  const cases = asks.flatMap((question) => {
    const told = cedarSays(cedar, question, "batch");
    const [applying, erring] = [new Set(told.determining), new Set(told.errors)];
    return built.map((set): KnownCase => ({
      set,
      question,
      right: joined(
        set,
        (id) => applying.has(named(set, id)),
        (id) => erring.has(named(set, id)),
      ),
    }));
  });
  if (seed % 8 === 0) for (const one of cases.slice(0, built.length)) checkWhole(cedar, one);
  return cases;
};

/** What Cedar says of a set as it is. */
export const knownCase = (cedar: Cedar, set: PolicySet, question: CedarAsk): KnownCase => {
  preparse(cedar, "one", textsOf(set));
  return { set, question, right: cedarSays(cedar, question, "one", set.actions) };
};

const perSet = 200;

/** Expressions as permits, some hundred to a set, with what Cedar says of each for one question. */
export const casesOf = (
  cedar: Cedar,
  name: string,
  expressions: readonly string[],
  question: CedarAsk,
): KnownCase[] => {
  const cases: KnownCase[] = [];
  for (let at = 0; at < expressions.length; at += perSet) {
    const texts = expressions
      .slice(at, at + perSet)
      .map((expression) => `permit (principal, action, resource) when { ${expression} };`);
    const set = policySetOf(cedar, `${name} ${at}`, texts);
    cases.push(knownCase(cedar, set, question));
  }
  return cases;
};

/** Policies that the compiled engine answers beside ones that it must leave to Cedar, of every effect and outcome. */
export const mixedCases = (cedar: Cedar): KnownCase[] => {
  const outcomes = ["1 == 1", "1 == 2", "(1).a"];
  // A literal beyond 53 bits is not the compiled engine's.
  const left = [
    "9223372036854775807 == 9223372036854775807",
    "9223372036854775807 == 1",
    "9223372036854775807 + 1 == 1",
    // A value that this engine doesn't read.
    'context.odd == datetime("1970-01-02")',
  ];
  const question: CedarAsk = {
    principals: [{ type: "U", id: "a" }],
    action: { type: "Action", id: "read" },
    resource: { type: "R", id: "a" },
    context: {
      odd: {
        __extn: {
          fn: "offset",
          args: [
            { __extn: { fn: "datetime", arg: "1970-01-01" } },
            { __extn: { fn: "duration", arg: "1d" } },
          ],
        },
      },
    },
    entities: [],
  };
  const heads = '(principal, action in [Action::"all", Action::"read"], resource)';
  const texts = (conditions: readonly string[]): string[] =>
    conditions.flatMap((condition) =>
      ["permit", "forbid"].map((effect) => `${effect} ${heads} when { ${condition} };`),
    );
  return texts(outcomes).flatMap((one) =>
    texts(left).flatMap((other) =>
      [
        [one, other],
        [other, one],
        [other, one, other],
      ].map((policies): KnownCase => {
        const set = policySetOf(cedar, policies.join(), policies);
        return knownCase(cedar, set, question);
      }),
    ),
  );
};

const differ = (one: Told, other: Told): boolean => JSON.stringify(one) !== JSON.stringify(other);

/** What the compiled engine says otherwise, for people. */
export const tellApart = ({ set, right }: KnownCase, compiled: Told): string[] => {
  if (!differ(right, compiled)) return [];
  const outcome = (told: Told, id: string): string => {
    if (told.errors.includes(id)) return "errs";
    return told.determining.includes(id) ? "determines" : "doesn't determine";
  };
  const policies = set.policies.flatMap(({ id, text }) => {
    const [one, other] = [outcome(right, id), outcome(compiled, id)];
    return one === other ? [] : [`${text} ${one}, and compiled ${other}`];
  });
  return [`${right.decision}, and compiled ${compiled.decision}: ${policies.join("; ")}`];
};

const checkWhole = (cedar: Cedar, { set, question, right }: KnownCase): void => {
  preparse(cedar, "whole", textsOf(set));
  const whole = cedarSays(cedar, question, "whole");
  if (differ(whole, right)) throw new Error(`asked as a whole, Cedar says ${JSON.stringify(whole)}`);
};

/** What a compiled engine says, and how many policies it left to the reference engine. */
export const compiledSays = (
  make: typeof createCompiledEngine,
  cases: readonly KnownCase[],
  cedar: Cedar,
): { told: Told[]; left: number } => {
  let left = 0;
  const sets = new Map(cases.map(({ set }) => [set.digest, set]));
  const engine = make({
    askPolicies: (digest, question, principal, positions) => {
      left += positions.length;
      const policies = positions.map((position) => sets.get(digest)!.policies[position]!);
      preparse(cedar, "left", Object.fromEntries(policies.map(({ id, text }) => [id, text])));
      const told = cedarSays(cedar, { ...question, principals: [principal] }, "left");
      return {
        decision: told.decision,
        determining: policies.filter(({ id }) => told.determining.includes(id)),
        errors: policies
          .filter(({ id }) => told.errors.includes(id))
          .map((policy) => ({ policy, message: "" })),
      };
    },
  });
  for (const set of sets.values()) engine.install(set);
  const told = cases.map(({ set, question }): Told => {
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

/** Runs random cases from a seed on and compares every answer. */
export const fuzz = (
  firstSeed: number,
  cases: number,
  onProgress: (findings: Findings) => void = () => undefined,
): Findings => {
  const cedar = createCedar();
  const found: Findings = { cases: 0, allow: 0, deny: 0, errors: 0, left: 0, differences: [] };
  for (let seed = firstSeed; found.cases < cases; seed++) {
    const known = knownCases(cedar, seed);
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
