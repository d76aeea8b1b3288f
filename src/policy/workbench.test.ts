/** Outlines, mutants and coverage: what they say of a policy's text is what Cedar says of the policy. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CedarAsk } from "../kit/cedar-json.ts";
import { createCedar } from "./cedar.ts";
import { createCoverage, percentSeen, seenOutcomes } from "./coverage.ts";
import { mutantsOf, mutated } from "./mutate.ts";
import { outlineOf, termsOf } from "./outline.ts";
import type { CompiledPolicy } from "./policy-set.ts";
import { readPolicy } from "./read-policy.ts";

const cedar = createCedar();

const policyOf = (text: string): CompiledPolicy => {
  const read = readPolicy(cedar, text);
  if ("faults" in read) throw new Error(read.faults.map(({ message }) => message).join("\n"));
  return { ...read.policy, place: { file: "p.cedar", line: 1, column: 1 } };
};

const terms = (text: string): string[] =>
  outlineOf(text).conditions.flatMap(({ body }) =>
    termsOf(body).map(({ start, end }) => text.slice(start, end)),
  );

describe("an outline", () => {
  test("finds effect, scopes, conditions and terms, whatever strings and comments hold", () => {
    const text = `@id("p") // permit (x);
@reason("a, (b) && c { when")
forbid /**/ (principal is A::B in G::"),", action in [Action::"a", Action::"b"], resource,)
// when { no }
when { context.a && // && b
 (context.b || !(context.c && context["d || e"])) && !context.f }
unless { if context.a then context.b || context.c else context.d };`.replace("/**/ ", "");
    const { effect, principal, action, resource, conditions } = outlineOf(text);
    expect([effect, principal, action, resource].map(({ start, end }) => text.slice(start, end))).toEqual([
      "forbid",
      'principal is A::B in G::"),"',
      'action in [Action::"a", Action::"b"]',
      "resource",
    ]);
    expect(conditions.map(({ kind }) => kind)).toEqual(["when", "unless"]);
    expect(terms(text)).toEqual([
      "context.a",
      "context.b",
      "context.c",
      'context["d || e"]',
      "!context.f",
      "if context.a then context.b || context.c else context.d",
    ]);
  });
});

const leaves = ["context.a", "context.b", "!context.c", '("&&" == "||")', "context.e.x", "context has e"];
const expression: fc.Arbitrary<string> = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(...leaves),
    fc.tuple(tie("any"), fc.constantFrom("&&", "||"), tie("any")).map(([a, o, b]) => `${a} ${o} ${b}`),
    tie("any").map((inner) => `(${inner} // )\n)`),
    tie("any").map((inner) => `!(${inner})`),
    fc.tuple(tie("any"), tie("any"), tie("any")).map(([a, b, c]) => `(if ${a} then ${b} else ${c})`),
  ),
})).any;
const condition = fc
  .tuple(fc.constantFrom("when", "unless"), expression)
  .map(([word, body]) => `${word} { ${body} }`);
const policyText = fc
  .tuple(fc.constantFrom("permit", "forbid"), fc.array(condition, { maxLength: 3 }))
  .map(
    ([effect, conditions]) =>
      `@id("p") ${effect} (principal is U, action, resource) ${conditions.join(" ")};`,
  );

const uid = { type: "U", id: "u" };
const contexts: fc.Arbitrary<CedarAsk["context"]> = fc.record(
  { a: fc.boolean(), b: fc.boolean(), c: fc.boolean(), e: fc.constant({ x: true }) },
  { requiredKeys: ["a", "b", "c"] },
);
const askOf = (context: CedarAsk["context"], type = "U"): CedarAsk => ({
  principals: [{ type, id: "u" }],
  action: { type: "Action", id: "x" },
  resource: uid,
  context,
  entities: [],
});

const outcomeByCedar = (text: string, ask: CedarAsk): string => {
  const { principals, ...rest } = ask;
  const answer = cedar.call((module) =>
    module.isAuthorized({
      ...rest,
      principal: principals[0]!,
      policies: { staticPolicies: { p: text.replace("forbid (", "permit (") } },
    }),
  );
  if (answer.type === "failure") throw new Error(JSON.stringify(answer));
  if (answer.response.diagnostics.errors.length > 0) return "error";
  return answer.response.decision === "allow" ? "true" : "false";
};

/** What the policy came to, from the counts of one question: the last clause that was reached decided it. */
const lastCounts = (text: string, ask: CedarAsk): ReturnType<typeof seenOutcomes> & { errors: number } => {
  const coverage = createCoverage([policyOf(text)], []);
  coverage.observe(ask);
  const [one] = coverage.policies;
  return { ...seenOutcomes(one!), errors: one!.clauses.reduce((sum, { counts }) => sum + counts.error, 0) };
};

describe("coverage", () => {
  test("errs where Cedar's evaluation of the policy errs, and nowhere else", () => {
    fc.assert(
      fc.property(policyText, contexts, (text, context) => {
        const { errors } = lastCounts(text, askOf(context));
        expect(errors > 0).toBe(outcomeByCedar(text, askOf(context)) === "error");
      }),
      { numRuns: 150 },
    );
  });

  test("counts a term only where the evaluation gets to it", () => {
    const policy = policyOf(
      '@id("p") permit (principal is U, action, resource) when { context.a && context.b } unless { context.c };',
    );
    const counts = (...asks: CedarAsk[]): number[][] => {
      const coverage = createCoverage([policy], []);
      for (const ask of asks) coverage.observe(ask);
      return coverage.policies[0]!.clauses.map(({ counts }) => [counts.true, counts.false, counts.error]);
    };
    const ask = (a: boolean, b: boolean, c: boolean): CedarAsk => askOf({ a, b, c });
    expect(counts(ask(false, true, true))).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(counts(ask(true, true, true), ask(true, false, true), askOf({}, "V"))).toEqual([
      [2, 1, 0],
      [2, 0, 0],
      [1, 1, 0],
      [1, 0, 0],
    ]);
    expect(counts(askOf({ b: true, c: true }))[1]).toEqual([0, 0, 1]);
  });

  test("is 100 % only when every head and term was seen both ways", () => {
    const coverage = createCoverage(
      [policyOf('@id("p") permit (principal is U, action, resource) when { context.a };')],
      [],
    );
    const steps = [askOf({ a: true }), askOf({ a: false }), askOf({}, "V")];
    const percents = steps.map((ask) => {
      coverage.observe(ask);
      return percentSeen(coverage.policies);
    });
    expect(percents).toEqual([50, 75, 100]);
    expect(
      percentSeen(createCoverage([policyOf('@id("p") permit (principal, action, resource);')], []).policies),
    ).toBe(0);
  });
});

describe("mutants", () => {
  test("are these", () => {
    const text =
      '@id("p") permit (principal is U in G::"g", action == Action::"x", resource) when { context.a && (context.b || context.c) } unless { context.d };';
    expect(
      mutantsOf(text).map(({ kind, before, after }) => `${kind}: ${before} → ${after}`.replaceAll("\n", "")),
    ).toEqual([
      "swap effect: permit → forbid",
      'widen scope: principal is U in G::"g" → principal',
      'widen scope: principal is U in G::"g" → principal is U',
      'widen scope: action == Action::"x" → action',
      "drop condition: when { context.a && (context.b || context.c) } → ",
      "negate condition: when → unless",
      "drop term: context.a → true",
      "negate term: context.a → !(context.a)",
      "drop term: (context.b || context.c) → true",
      "drop term: context.b → false",
      "negate term: context.b → !(context.b)",
      "drop term: context.c → false",
      "negate term: context.c → !(context.c)",
      "drop condition: unless { context.d } → ",
      "negate condition: unless → when",
    ]);
  });

  test("are policies that Cedar parses, and differ from the policy, whatever the policy", () => {
    fc.assert(
      fc.property(policyText, (text) => {
        for (const mutant of mutantsOf(text)) {
          const edited = mutated(text, mutant);
          expect(edited).not.toBe(text);
          expect(cedar.call((module) => module.policyToJson(edited)).type).toBe("success");
        }
      }),
      { numRuns: 100 },
    );
  });
});
