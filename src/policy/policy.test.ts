/** Policies from text to answers: faults with their place, sound slices, and an engine that survives what traps it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CedarAsk, CedarEntity, Uid } from "../kit/cedar-json.ts";
import { loadErrorText } from "../kit/place.ts";
import { type Cedar, CedarTrap, createCedar } from "./cedar.ts";
import { createCompiler } from "./compile.ts";
import { createReferenceEngine } from "./reference-engine.ts";
import type { PolicySet } from "./policy-set.ts";
import { splitPolicies } from "./split.ts";

const schema = `
entity G in [G];
entity U in [G] = { n: Long, friend?: U };
entity R in [G] = { owner?: U, level?: Long };
action all;
action read, write in [all] appliesTo { principal: U, resource: R, context: { k?: Long, remit: Remit::Facts } };
`;

const cedar: Cedar = createCedar();
const compile = (...files: string[]) =>
  createCompiler(cedar).compile(
    files.map((text, position) => ({ file: `p${position}.cedar`, text })),
    [{ file: "s.cedarschema", text: schema }],
    { ids: ["agent-daily-usd"], units: ["usd_micros"] },
  );

const faults = (...files: string[]): string[] => {
  const compiled = compile(...files);
  return "errors" in compiled ? compiled.errors.map(loadErrorText) : [];
};

const setOf = (...files: string[]): PolicySet => {
  const compiled = compile(...files);
  if ("errors" in compiled) throw new Error(compiled.errors.map(loadErrorText).join("\n"));
  return compiled.set;
};

describe("text", () => {
  test("is split at semicolons outside strings and comments, without losing or moving anything", () => {
    const text =
      '// a; b\n@id("x;") permit (principal, action, resource); // c;\n\n@id("y")\nforbid (principal, action, resource)\nwhen { "a\\";" == "//" };';
    const policies = splitPolicies(text);
    expect(policies.map(({ text: policy, start }) => [start, policy])).toEqual([
      [text.indexOf('@id("x'), '@id("x;") permit (principal, action, resource);'],
      [text.indexOf('@id("y'), text.slice(text.indexOf('@id("y'))],
    ]);
  });

  test("that is split keeps every character of every policy, whatever the text", () => {
    const piece = fc.constantFrom('"a;b"', '"\\""', "// x;\n", ";", "permit", " ", "\n", "/", "é", '"open');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (parts) => {
        const text = parts.join("");
        for (const { text: policy, start } of splitPolicies(text))
          expect(text.slice(start, start + policy.length)).toBe(policy);
      }),
    );
  });
});

describe("load errors name file, line and column", () => {
  const ok = '@id("ok") permit (principal, action, resource);';
  test.each([
    ["syntax", `${ok}\n\n@id("b")\npermit (principal, action, resorce);`, "p0.cedar:4:28: "],
    [
      "a character beyond ASCII before the fault",
      `${ok}\n@id("b") @reason("é😀") permit (principal is, action, resource);`,
      "p0.cedar:2:45: ",
    ],
    ["no @id", `${ok}\n  permit (principal, action, resource);`, "p0.cedar:2:3: a policy without `@id`"],
    ["an empty @id", '@id("") permit (principal, action, resource);', "p0.cedar:1:1: `@id` must be"],
    [
      "a type error",
      `${ok}\n@id("b") permit (principal, action == Action::"read", resource)\nwhen { principal.n == "1" };`,
      "p0.cedar:3:8: ",
    ],
    [
      "an unknown attribute",
      `@id("b") permit (principal is U, action, resource)\nwhen { principal.nope > 1 };`,
      "p0.cedar:2:8: ",
    ],
    [
      "an unknown budget",
      `@id("b") forbid (principal, action == Action::"read", resource)\nunless { context.remit.budgets["nope"].percent < 80 };`,
      "p0.cedar:2:10: ",
    ],
    [
      "a template whose head is broken",
      '@id("b") permit (principal = ?principal, action, resource);',
      "p0.cedar:1:18: ",
    ],
    [
      "obligation properties that are no object",
      '@id("b") @obligation("x") @obligation_properties("[1]") permit (principal, action, resource);',
      "p0.cedar:1:1: `@obligation_properties`",
    ],
    [
      "obligation properties without an obligation",
      '@id("b") @obligation_properties("{}") permit (principal, action, resource);',
      "p0.cedar:1:1: `@obligation_properties` without",
    ],
  ])("%s", (_what, text, start) => {
    const [first, ...rest] = faults(text);
    expect(first?.slice(0, start.length)).toBe(start);
    expect(rest).toEqual([]);
  });

  test("a duplicate @id names both places, also across files", () => {
    expect(faults(ok, `\n${ok}`)).toEqual([
      "p1.cedar:2:1: the `@id` `ok` is taken by the policy at p0.cedar:1:1",
    ]);
  });

  test("all faults are told at once", () => {
    expect(faults("nonsense", `${ok}\npermit (principal, action, resource);`)).toHaveLength(2);
  });

  test("a budget that is declared may be named", () => {
    const text =
      '@id("b") forbid (principal, action == Action::"read", resource) unless { context.remit.budgets has "agent-daily-usd" && context.remit.budgets["agent-daily-usd"].percent < 80 };';
    expect(faults(text)).toEqual([]);
  });

  test("the schema's own faults lead back to the file they stand in", () => {
    const result = createCompiler(cedar).compile(
      [{ file: "p.cedar", text: ok }],
      [
        { file: "a.cedarschema", text: "entity A;" },
        { file: "b.cedarschema", text: "\nentity B = { x: Nope };" },
      ],
      { ids: [], units: [] },
    );
    expect("errors" in result && result.errors.map(loadErrorText)[0]).toMatch(/^b\.cedarschema:2:17: /);
  });
});

describe("what would trap the engine", () => {
  const nested = (open: string, inner: string, close: string, n: number): string =>
    open.repeat(n) + inner + close.repeat(n);
  const when = (condition: string): string =>
    `@id("deep") permit (principal, action, resource) when { ${condition} };`;
  test.each([
    ["parentheses", nested("(", "true", ")", 5000)],
    ["sets", nested("[", "1", "]", 500) + " == 1"],
    ["a chain of &&", Array(5000).fill("true").join(" && ")],
    ["a chain of ||", Array(400).fill("false").join(" || ")],
    ["a sum", `${Array(200).fill("1").join(" + ")} == 1`],
    ["alternating sums", `${"1 + 1 - ".repeat(100)}1 == 1`],
    ["conditionals", `${"if true then true else ".repeat(600)}true`],
    ["negations", `${"!".repeat(3)}true && ${nested("(if ", "true", " then true else true)", 100)}`],
  ])("is refused at load: %s", (_what, condition) => {
    expect(faults(when(condition))).toHaveLength(1);
    expect(faults(when("true"))).toEqual([]);
  });

  test("as many clauses as the bound allows still evaluate", () => {
    const set = setOf(
      `@id("long") permit (principal, action, resource) when { ${Array(100).fill("principal has n").join(" && ")} };`,
    );
    const engine = createReferenceEngine();
    engine.install(set);
    const [answer] = engine.ask(set.digest, {
      ...question(),
      entities: [{ uid: alice, attrs: { n: 1 }, parents: [] }],
    });
    expect(answer).toMatchObject({ decision: "allow" });
  });

  test("fails that call alone: the next one meets a fresh instance", () => {
    const own = createCedar();
    const engine = createReferenceEngine(own);
    const set = setOf('@id("yes") permit (principal, action, resource);');
    engine.install(set);
    expect(engine.ask(set.digest, question())[0]).toMatchObject({ decision: "allow" });
    expect(() => own.call((module) => module.policyToJson(when(nested("(", "true", ")", 20_000))))).toThrow(
      CedarTrap,
    );
    expect(own.generation()).toBe(2);
    expect(engine.ask(set.digest, question())[0]).toMatchObject({ decision: "allow" });
    expect(engine.selfTest()).toEqual({ ok: true });
  });

  test("an engine whose answers are wrong fails its self-test", () => {
    const lying: Cedar = {
      generation: () => 1,
      call: (ask) =>
        ask(
          new Proxy(
            cedar.call((module) => module),
            {
              get: (module, name) =>
                name === "statefulIsAuthorized"
                  ? () => ({
                      type: "success",
                      response: { decision: "allow", diagnostics: { reason: ["permit"], errors: [] } },
                      warnings: [],
                    })
                  : (Reflect.get(module, name) as unknown),
            },
          ),
        ),
    };
    expect(createReferenceEngine(lying).selfTest()).toMatchObject({ ok: false });
  });
});

const alice: Uid = { type: "U", id: "alice" };
const question = (): CedarAsk => ({
  principals: [alice],
  action: { type: "Action", id: "read" },
  resource: { type: "R", id: "r" },
  context: {},
  entities: [],
});

describe("the engine", () => {
  test("gives the erring and the determining policies by id, in order", () => {
    const set = setOf(
      '@id("b") permit (principal, action, resource);@id("a") permit (principal, action, resource);',
      '@id("c") forbid (principal is U, action == Action::"read", resource is R) when { principal.n > 1 };',
    );
    const engine = createReferenceEngine();
    engine.install(set);
    const [answer] = engine.ask(set.digest, question());
    expect(answer).toMatchObject({ decision: "allow" });
    if (!answer || "failure" in answer) throw new Error("failed");
    expect(answer.determining.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(answer.errors.map(({ policy }) => policy.id)).toEqual(["c"]);
  });

  test("forgets retired sets and keeps the others", () => {
    const [one, two] = [
      setOf('@id("p") permit (principal, action, resource);'),
      setOf('@id("p") forbid (principal, action, resource);'),
    ];
    const engine = createReferenceEngine();
    engine.install(one);
    engine.install(two);
    engine.ask(one.digest, question());
    engine.ask(two.digest, question());
    engine.retire(one.digest, 1);
    expect(() => engine.ask(one.digest, question())).toThrow("is installed");
    expect(engine.ask(two.digest, question())[0]).toMatchObject({ decision: "deny" });
  });
});

test("an order to forget a policy set that comes late leaves what was taken in since", () => {
  const set = setOf('@id("p") permit (principal, action, resource);');
  const engine = createReferenceEngine();
  engine.install(set);
  engine.install(set);
  engine.retire(set.digest, 1);
  expect(engine.ask(set.digest, question())[0]).toMatchObject({ decision: "allow" });
  engine.retire(set.digest, 1);
  expect(() => engine.ask(set.digest, question())).toThrow("is installed");
});

describe("slices are sound", () => {
  const ids = ["a", "b", "c"];
  const uid = fc.record({ type: fc.constantFrom("U", "R", "G"), id: fc.constantFrom(...ids) });
  const uidText = ({ type, id }: Uid): string => `${type}::"${id}"`;
  const head = (variable: string): fc.Arbitrary<string> =>
    fc.oneof(
      fc.constant(variable),
      uid.map((to) => `${variable} == ${uidText(to)}`),
      uid.map((to) => `${variable} in ${uidText(to)}`),
      fc.constantFrom("U", "R", "G").map((type) => `${variable} is ${type}`),
      fc
        .tuple(fc.constantFrom("U", "R", "G"), uid)
        .map(([type, to]) => `${variable} is ${type} in ${uidText(to)}`),
    );
  const action = fc.constantFrom(
    "action",
    'action == Action::"read"',
    'action in Action::"all"',
    'action in [Action::"write", Action::"read"]',
    'action == Action::"write"',
  );
  const condition = fc.constantFrom(
    "",
    "when { principal.n > 1 }",
    "when { resource has level }",
    "when { context.k == 1 }",
    "unless { principal has friend }",
  );
  const policy = fc.tuple(
    fc.constantFrom("permit", "forbid"),
    head("principal"),
    action,
    head("resource"),
    condition,
  );
  const parents = fc.subarray(ids);
  const entities = fc.array(
    fc.record({ uid, attrs: fc.constantFrom({}, { n: 2 }, { n: 0 }, { level: 1 }), groups: parents }),
    { maxLength: 6 },
  );

  test(
    "the answer is that of the whole set, errors and determining policies included",
    { timeout: 60_000 },
    () => {
      const compiler = createCompiler(cedar);
      const whole = createCedar();
      fc.assert(
        fc.property(
          fc.array(policy, { minLength: 1, maxLength: 12 }),
          entities,
          uid,
          uid,
          (policies, stored, principal, resource) => {
            const text = policies
              .map(
                ([effect, p, a, r, when], n) =>
                  `@id("p${String(n).padStart(2, "0")}") ${effect} (${p}, ${a}, ${r}) ${when};`,
              )
              .join("\n");
            const compiled = compiler.compile([{ file: "p", text }], [{ file: "s", text: schema }], {
              ids: [],
              units: [],
            });
            fc.pre(!("errors" in compiled));
            if ("errors" in compiled) return;
            const { set } = compiled;
            const known = new Map<string, CedarEntity>();
            for (const { uid: own, attrs, groups } of stored) {
              // Only later groups, so that there is no cycle.
              const above = groups
                .filter((id) => own.type !== "G" || id > own.id)
                .map((id) => ({ type: "G", id }));
              known.set(uidText(own), { uid: own, attrs, parents: above });
            }
            const ask: CedarAsk = {
              principals: [principal],
              action: { type: "Action", id: "read" },
              resource,
              context: {},
              entities: [...known.values()],
            };
            const engine = createReferenceEngine();
            engine.install(set);
            const [sliced] = engine.ask(set.digest, ask);
            const full = whole.call((module) =>
              module.isAuthorized({
                principal,
                action: ask.action,
                resource,
                context: {},
                entities: [...ask.entities, ...set.actions],
                policies: {
                  staticPolicies: Object.fromEntries(set.policies.map(({ id, text: one }) => [id, one])),
                },
              }),
            );
            if (full.type === "failure" || !sliced || "failure" in sliced)
              throw new Error("the engine failed");
            expect({
              decision: sliced.decision,
              reasons: sliced.determining.map(({ id }) => id),
              errors: sliced.errors.map(({ policy: { id } }) => id),
            }).toEqual({
              decision: full.response.decision,
              reasons: [...full.response.diagnostics.reason].sort(),
              errors: full.response.diagnostics.errors.map(({ policyId }) => policyId).sort(),
            });
          },
        ),
        { numRuns: 150 },
      );
    },
  );
});
