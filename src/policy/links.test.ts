/** Templates and their links: each link a policy of its own, whatever its entities are called. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Uid } from "../kit/cedar-json.ts";
import { createCedar } from "./cedar.ts";
import { createCompiler } from "./compile.ts";
import { createEngine } from "./engine.ts";
import type { PolicySet } from "./policy-set.ts";

const schema = `
entity Team;
entity User in [Team] = { name?: String };
entity Folder;
entity Doc in [Folder] = { "secret": Bool };
action "read" appliesTo { principal: User, resource: Doc };
`;

const template = `// ?principal in a comment is none.
@id("team-reads")
@reason("Not ?resource either.")
permit (
  principal in ?principal,
  action == Action::"read",
  resource in ?resource // to be filled: ?resource
)
when { !resource.secret };
`;

const cedar = createCedar();
const compile = (
  links: string,
  policies = template,
): ReturnType<ReturnType<typeof createCompiler>["compile"]> =>
  createCompiler(cedar).compile(
    [{ file: "policies/t.cedar", text: policies }],
    [{ file: "schemas/s.cedarschema", text: schema }],
    { ids: [], units: [] },
    { file: "policies/links.yaml", text: links },
  );

const link = (id: string, principal: Uid, resource: Uid): object => ({
  id,
  template: "team-reads",
  principal,
  resource,
});
const linksOf = (...links: object[]): string => JSON.stringify({ links });

const setOf = (links: string): PolicySet => {
  const compiled = compile(links);
  if ("errors" in compiled) throw new Error(JSON.stringify(compiled.errors));
  return compiled.set;
};

const team = (id: string): Uid => ({ type: "Team", id });
const folder = (id: string): Uid => ({ type: "Folder", id });

test("each link is a policy of its own id, with its entities in the head", () => {
  const { policies } = setOf(
    linksOf(link("a", team("t1"), folder("f1")), link("b", team("t2"), folder("f2"))),
  );
  expect(policies).toMatchObject([
    { id: "a", principal: { kind: "in", uid: team("t1") }, resource: { kind: "in", uid: folder("f1") } },
    {
      id: "b",
      notes: { reason: "Not ?resource either." },
      place: { file: "policies/t.cedar", line: 2, column: 1 },
    },
  ]);
});

test("both engines decide by the link alone that fits, whatever names its entities have", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 12 }), fc.boolean(), (name, member) => {
      const set = setOf(linksOf(link("a", team(name), folder(`f ${name}`))));
      const decisions = (["reference", "compiled"] as const).map((mode) => {
        const engine = createEngine({ mode, defer: () => undefined });
        engine.install(set);
        const { answers: given } = engine.ask(set.digest, {
          principals: [{ type: "User", id: "u" }],
          action: { type: "Action", id: "read" },
          resource: { type: "Doc", id: "d" },
          context: {},
          entities: [
            { uid: { type: "User", id: "u" }, attrs: {}, parents: [team(member ? name : `${name}x`)] },
            { uid: { type: "Doc", id: "d" }, attrs: { secret: false }, parents: [folder(`f ${name}`)] },
          ],
        });
        const [answer] = given;
        return "failure" in answer! ? answer.failure : answer!.decision === "allow";
      });
      expect(decisions).toEqual([member, member]);
    }),
    { numRuns: 60 },
  );
});

test.each([
  [
    "an unknown template",
    linksOf({ ...link("a", team("t"), folder("f")), template: "x" }),
    "links.yaml:1:11: there is no template `x`",
  ],
  [
    "a slot left open",
    linksOf({ id: "a", template: "team-reads", principal: team("t") }),
    "the template `team-reads` needs a resource",
  ],
  [
    "a type that is none",
    linksOf(link("a", { type: "no type", id: "t" }, folder("f"))),
    "must be an entity type",
  ],
  [
    "a type that the schema doesn't know",
    linksOf(link("a", { type: "Nobody", id: "t" }, folder("f"))),
    "t.cedar:5:16: for policy `a`, ",
  ],
  [
    "one id twice",
    linksOf(link("a", team("t"), folder("f")), link("a", team("u"), folder("f"))),
    "the `@id` `a` is taken",
  ],
  ["an unknown key", linksOf({ ...link("a", team("t"), folder("f")), colour: 1 }), "links.yaml:1:"],
])("%s is an error, with its place", (_what, links, expected) => {
  const compiled = compile(links);
  const errors = "errors" in compiled ? compiled.errors : [];
  const texts = errors.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`);
  expect(texts.join("\n")).toContain(expected);
});

test("a template without links is a warning, and permits nothing", () => {
  const compiled = compile("links: []");
  expect(compiled).toMatchObject({
    set: { policies: [] },
    warnings: [
      { message: "no link makes a policy of the template `team-reads`", file: "policies/t.cedar", line: 2 },
    ],
  });
});

test("an entity has a slot that the template has not", () => {
  const noResource = template.replace("resource in ?resource", "resource");
  const compiled = compile(linksOf(link("a", team("t"), folder("f"))), noResource);
  expect(compiled).toMatchObject({
    errors: [{ message: "the template `team-reads` has no slot for a resource" }],
  });
});
