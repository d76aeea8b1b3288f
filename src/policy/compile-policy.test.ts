/** What the compiler takes and what it leaves to Cedar: it never guesses. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { CedarAsk, CedarEntity, Uid } from "../kit/cedar-json.ts";
import { createCedar } from "./cedar.ts";
import { compilePolicy, linkTemplate, type PolicyJson } from "./compile-policy.ts";
import { createCompiledEngine } from "./compiled-engine.ts";
import { extensionOperators } from "./extension-operators.ts";
import { Unrepresentable } from "./failure.ts";
import { operators } from "./operators.ts";
import { scopesOf } from "./read-policy.ts";

const cedar = createCedar();

const any = { op: "All" };
const withCondition = (body: unknown): PolicyJson =>
  ({ principal: any, action: any, resource: any, conditions: [{ kind: "when", body }] }) as PolicyJson;

describe("a later Cedar can't say what this compiler doesn't know", () => {
  const declarations = readFileSync(
    new URL("../../node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm.d.ts", import.meta.url),
    "utf8",
  );
  const union = (type: string): string =>
    new RegExp(`^export type ${type} = (.*);$`, "m").exec(declarations)![1]!;

  test("every operator of its JSON form is known, but slots, which no linked policy holds in a condition", () => {
    const names = [...` | ${union("ExprNoExt")}`.matchAll(/ \| \{ (?:"([^"]+)"|(\w+)):/g)].map(
      ([, quoted, plain]) => quoted ?? plain!,
    );
    expect(names.length).toBeGreaterThanOrEqual(30);
    expect(names.filter((name) => name !== "Slot").sort()).toEqual(Object.keys(operators).sort());
  });

  test("the forms of heads, clauses, patterns and variables are those it knows", () => {
    expect(union("PrincipalConstraint")).toBe(
      '{ op: "All" } | ({ op: "==" } & EqConstraint) | ({ op: "in" } & PrincipalOrResourceInConstraint) | ({ op: "is" } & PrincipalOrResourceIsConstraint)',
    );
    expect(union("ActionConstraint")).toBe(
      '{ op: "All" } | ({ op: "==" } & EqConstraint) | ({ op: "in" } & ActionInConstraint)',
    );
    expect(union("Clause")).toBe('{ kind: "when"; body: Expr } | { kind: "unless"; body: Expr }');
    expect(union("PatternElem")).toBe('"Wildcard" | { Literal: SmolStr }');
    expect(union("Var")).toBe('"principal" | "action" | "resource" | "context"');
  });

  test("its functions are those of the language version that was looked at", () => {
    // Functions stand in no declaration: with a new version, read what changed before raising this.
    expect(cedar.call((module) => module.getCedarLangVersion())).toBe("4.5");
    expect(Object.keys(extensionOperators)).toHaveLength(22);
  });
});

describe("left to Cedar is", () => {
  const one = { Value: 1 };
  test.each<[string, PolicyJson]>([
    ["an unknown operator", withCondition({ between: { left: one, right: one } })],
    ["a name that every object has", withCondition({ constructor: [one] })],
    ["an unknown operand", withCondition({ "==": { left: one, right: one, collation: "de" } })],
    ["a missing operand", withCondition({ "==": { left: one } })],
    [
      "two operators in one",
      withCondition({ "==": { left: one, right: one }, "!=": { left: one, right: one } }),
    ],
    ["an unknown variable", withCondition({ "==": { left: { Var: "now" }, right: one } })],
    ["a slot", withCondition({ "==": { left: { Slot: "?principal" }, right: one } })],
    ["an unusual number of arguments", withCondition({ isIpv4: [one, one] })],
    ["an integer beyond 53 bits", withCondition({ "==": { left: { Value: 2 ** 53 }, right: one } })],
    ["a fraction", withCondition({ "==": { left: { Value: 0.5 }, right: one } })],
    ["nothing where a value stands", withCondition({ "==": { left: { Value: null }, right: one } })],
    ["an unknown escape", withCondition({ "==": { left: { Value: { __expr: "1" } }, right: one } })],
    [
      "a malformed literal",
      withCondition({ "==": { left: { Value: { __extn: { fn: "decimal", arg: "1" } } }, right: one } }),
    ],
    [
      "an unknown part of a pattern",
      withCondition({ like: { left: { Value: "a" }, pattern: ["AnyDigit"] } }),
    ],
    ["an unknown clause", { ...withCondition(one), conditions: [{ kind: "provided", body: one }] }],
    ["an unknown bound", { ...withCondition(one), principal: { op: "like", pattern: "*" } }],
    ["a head with more in it", { ...withCondition(one), action: { op: "All", except: [] } }],
    ["a head with an open slot", { ...withCondition(one), principal: { op: "==", slot: "?principal" } }],
    [
      "an expression nested beyond all bounds",
      withCondition(
        Array.from({ length: 300 }).reduce((inner) => ({ "!": { arg: inner } }), { Value: true }),
      ),
    ],
  ])("%s", (_what, policy) => {
    expect(() => compilePolicy(policy)).toThrow(Unrepresentable);
  });
});

describe("templates", () => {
  const uid = (type: string, id: string): Uid => ({ type, id });
  const templates = [
    "permit (principal == ?principal, action, resource in ?resource);",
    "permit (principal in ?principal, action, resource) when { principal has n && principal.n > 1 };",
    "forbid (principal is U in ?principal, action, resource == ?resource);",
    'permit (principal, action == Action::"read", resource is R in ?resource) unless { resource has locked };',
  ];
  const entities: CedarEntity[] = [
    { uid: uid("U", "a"), attrs: { n: 2 }, parents: [uid("G", "1")] },
    { uid: uid("U", "b"), attrs: {}, parents: [uid("G", "2")] },
    { uid: uid("G", "1"), attrs: {}, parents: [uid("G", "2")] },
    { uid: uid("R", "a"), attrs: {}, parents: [uid("G", "1")] },
    { uid: uid("R", "b"), attrs: { locked: true }, parents: [] },
  ];
  const fillings = [uid("U", "a"), uid("U", "b"), uid("G", "1"), uid("G", "2"), uid("R", "a")];

  const jsonOf = (text: string): PolicyJson & { effect: "permit" | "forbid" } => {
    // Cedar gives a template's JSON form only from a text without slots: an entity that stands for one becomes it.
    const filled = text.replaceAll(/\?(principal|resource)/g, (_slot, name) => `Slot::"${name}"`);
    const answer = cedar.call((module) => module.policyToJson(filled));
    if (answer.type === "failure") throw new Error(answer.errors[0]?.message);
    const json = JSON.stringify(answer.json).replaceAll(
      /"entity":\{"type":"Slot","id":"(\w+)"\}/g,
      (_entity, name) => `"slot":"?${name}"`,
    );
    return JSON.parse(json) as PolicyJson & { effect: "permit" | "forbid" };
  };

  test("are answered link by link as Cedar answers them", () => {
    const links = templates.flatMap((template, position) =>
      fillings.flatMap((principal) =>
        fillings.map((resource) => ({
          template,
          position,
          values: { "?principal": principal, "?resource": resource },
        })),
      ),
    );
    const policies = links.map(({ template, values }, position) => {
      const { effect, ...json } = jsonOf(template);
      const linked = linkTemplate(json, values);
      const id = `l${String(position).padStart(3, "0")}`;
      return {
        id,
        effect,
        text: "",
        place: { file: "", line: 1, column: 1 },
        ...scopesOf(linked),
        json: linked,
        notes: {},
      };
    });
    const engine = createCompiledEngine({
      askPolicies: () => {
        throw new Error("nothing is left to Cedar");
      },
    });
    engine.install({ digest: "links", policies, actions: [] });
    for (const principal of ["a", "b", "c"])
      for (const resource of ["a", "b"]) {
        const question: CedarAsk = {
          principals: [uid("U", principal)],
          action: uid("Action", "read"),
          resource: uid("R", resource),
          context: {},
          entities,
        };
        const { principals: _principals, ...rest } = question;
        const right = cedar.call((module) =>
          module.isAuthorized({
            ...rest,
            principal: uid("U", principal),
            policies: {
              templates: Object.fromEntries(templates.map((text, position) => [`t${position}`, text])),
              templateLinks: links.map(({ template, position, values }, n) => ({
                templateId: `t${position}`,
                newId: policies[n]!.id,
                values: Object.fromEntries(
                  Object.entries(values).filter(([slot]) => template.includes(slot)),
                ),
              })),
            },
          }),
        );
        if (right.type === "failure") throw new Error(right.errors[0]?.message);
        const [given] = engine.ask("links", question).answers;
        expect(given).toMatchObject({ decision: right.response.decision, errors: [] });
        expect("determining" in given! && given.determining.map(({ id }) => id)).toEqual(
          right.response.diagnostics.reason.sort(),
        );
      }
  });

  test("need every slot filled", () => {
    expect(() => linkTemplate(jsonOf(templates[0]!), { "?principal": uid("U", "a") })).toThrow(
      Unrepresentable,
    );
  });
});
