/** Lints: each finds what it is for at its place, and leaves sound policies alone. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { repository, tempDir } from "../../conformance-tests/service.ts";
import { checkPolicies } from "../app-check.ts";
import { rules } from "../policy/finding.ts";

const schema = `
entity Org in [Org];
@remit("user") entity User in [Org] = { level: Long, nick?: String };
@remit("agent") entity Agent in [Org] = { level: Long, nick?: String, boss?: User };
@remit("stored") entity Doc in [Org] = { size: Long, title?: String, owner: User };
entity Draft = { size: Long };
type Context = { remit: Remit::Facts, ip?: ipaddr, since: datetime };
action "read" appliesTo { principal: [User, Agent], resource: [Doc, Draft], context: Context };
@remit("metered") action "buy" appliesTo { principal: [User, Agent], resource: [Doc], context: Context };
`;

const budgets = `
budgets:
  - { id: reads, unit: requests, limit: 5, per: [agent], for: { action: [read] }, window: lifetime }
  - { id: money, unit: usd_micros, limit: 5, per: [agent], for: { action: [buy] }, window: lifetime }
`;

const usual = `
@id("usual-read") permit (principal is User, action == Action::"read", resource is Draft) when { principal.level > 1 };
@id("usual-buy") permit (principal is User, action == Action::"buy", resource) when { principal.level > 1 };
`;

const findings = async (policies: string, files: Record<string, string> = {}): Promise<string[]> => {
  const dir = tempDir();
  for (const folder of ["policies", "schemas"])
    cpSync(join(repository, folder), join(dir, folder), {
      recursive: true,
      filter: (path) => !/\.\w+$/.test(path),
    });
  const all = {
    "schemas/s.cedarschema": schema,
    "policies/budgets.yaml": budgets,
    "policies/usual.cedar": usual,
    "policies/p.cedar": policies,
    "policies/entities/e.yaml":
      "[{ uid: { type: Org, id: acme } }, { uid: { type: Doc, id: d }, attrs: { size: 1, owner: { type: User, id: u } } }]",
    ...files,
  };
  for (const [path, text] of Object.entries(all)) writeFileSync(join(dir, path), text);
  const checked = await checkPolicies({
    policies: join(dir, "policies"),
    schemas: join(dir, "schemas"),
    entities: join(dir, "policies/entities"),
  });
  return checked.findings.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`);
};

const forbid = (conditions: string, head = 'principal, action == Action::"read", resource is Doc'): string =>
  `@id("f")\nforbid (${head})\n${conditions};`;

describe("a forbid that can fail is found at what fails:", () => {
  test.each([
    ["an overflow", forbid("when { resource.size * 2 > 5 }"), "3:22"],
    ["a negation", forbid("when { -resource.size > 5 }"), "3:8"],
    [
      "a shifted time",
      forbid('when { context.remit.now.offset(duration("1h")) > context.remit.now }'),
      "3:26",
    ],
    [
      "an attribute of what needn't be stored",
      forbid("when { resource.size > 5 }", "principal, action, resource is Draft"),
      "3:17",
    ],
    [
      "an attribute of a person",
      forbid("when { principal.level > 5 }", "principal is User, action, resource"),
      "3:18",
    ],
    ["an attribute of a referred entity", forbid("when { resource.owner.level > 5 }"), "3:23"],
    ["context that a request may leave out", forbid("when { context.since < context.remit.now }"), "3:16"],
    [
      "in the condition after the guard of another",
      forbid("when { context has ip || context.since < context.remit.now }"),
      "3:34",
    ],
  ])("%s", async (_what, policy, at) => {
    expect(await findings(policy)).toEqual([`policies/p.cedar:${at} forbid-can-err`]);
  });

  test.each([
    ["attributes of what must be stored", forbid("when { resource.size > 5 }")],
    ["attributes of agents", forbid("when { principal.level > 5 }", "principal is Agent, action, resource")],
    ["facts", forbid('when { context.remit.chain_length > 1 && context.remit.caller != "x" }')],
    ["what `has` asked for", forbid("when { context has since && context.since < context.remit.now }")],
    [
      "what a negated `has` ruled out",
      forbid("when { !(context has since) || context.since < context.remit.now }"),
    ],
    [
      "what an earlier condition asked for",
      forbid("when { context has since } unless { context.since < context.remit.now }"),
    ],
    [
      "what an earlier exception ruled out",
      forbid("unless { !(context has since) } when { context.since < context.remit.now }"),
    ],
    [
      "what an `if` asked for",
      forbid("when { if context has since then context.since < context.remit.now else true }"),
    ],
    [
      "a budget asked for",
      forbid("when { context.remit.budgets has reads && context.remit.budgets.reads.percent > 5 }"),
    ],
    [
      "a permit that fails",
      '@id("p") permit (principal, action == Action::"read", resource is Draft) when { resource.size * 2 > 5 };',
    ],
  ])("but not %s", async (_what, policy) => {
    expect(await findings(policy)).toEqual([]);
  });
});

describe("it is found", () => {
  test.each([
    [
      "that a condition is never true",
      '@id("p") permit (principal is User, action == Action::"read", resource is Doc) when { principal has nope };',
      ["1:1 never-applies"],
    ],
    [
      "that a forbid takes all of a permit away",
      '@id("p") permit (principal is User, action == Action::"read", resource == Doc::"d") when { context has ip };\n@id("q") forbid (principal, action == Action::"read", resource is Doc);',
      ["1:1 never-applies"],
    ],
    [
      "that two policies say the same",
      '@id("a") permit (principal is User, action == Action::"read", resource is Doc) when { context has ip };\n@id("b") @reason("x")\npermit (principal is User, action == Action::"read", resource is Doc) when { context has ip };',
      ["2:1 duplicate-policy"],
    ],
    [
      "that a policy changes nothing beside a wider one",
      '@id("a") permit (principal is User in Org::"acme", action == Action::"read", resource is Doc);\n@id("b") permit (principal is User, action == Action::"read", resource is Doc);',
      ["1:1 shadowed-policy"],
    ],
    [
      "that a group isn't known",
      '@id("p") permit (principal is User in Org::"acne", action == Action::"read", resource is Doc);',
      ["1:39 unknown-entity"],
    ],
    [
      "that a group in a condition isn't known",
      '@id("p") permit (principal is User, action == Action::"read", resource is Doc)\nwhen { principal in [Org::"acme", Org::"x"] };',
      ["2:35 unknown-entity"],
    ],
    [
      "that a stored resource isn't known",
      '@id("p") permit (principal is User, action == Action::"read", resource == Doc::"e");',
      ["1:75 unknown-entity"],
    ],
    [
      "that agents inherit what people may",
      '@id("p") permit (principal in Org::"acme", action == Action::"read", resource is Doc);',
      ["1:1 inherited-permit"],
    ],
    [
      "that they do by a condition",
      '@id("p") permit (principal, action == Action::"read", resource is Doc) when { principal in Org::"acme" };',
      ["1:1 inherited-permit"],
    ],
    [
      "that a budget is never there",
      forbid("when { context.remit.budgets has money && context.remit.budgets.money.used > 1 }"),
      ["3:34 budget-not-counted"],
    ],
  ])("%s", async (_what, policies, found) => {
    expect(await findings(policies)).toEqual(found.map((text) => `policies/p.cedar:${text}`));
  });

  test("that everything is permitted to everyone, and that nothing else matters then", async () => {
    expect(await findings('@id("p") permit (principal, action, resource);')).toEqual([
      "policies/p.cedar:1:1 open-permit",
      "policies/usual.cedar:2:1 shadowed-policy",
      "policies/usual.cedar:3:1 shadowed-policy",
    ]);
  });

  test("that nobody may do an action, and that a metered one has no budget", async () => {
    const only = { "policies/usual.cedar": "", "policies/budgets.yaml": "budgets: []" };
    const policy =
      '@id("p") permit (principal is User, action == Action::"read", resource is Doc) when { context has ip };';
    expect(await findings(policy, only)).toEqual([
      "schemas/s.cedarschema:9:26 unused-action",
      "schemas/s.cedarschema:9:26 metered-without-budget",
    ]);
  });

  test("that a budget counts what nobody may do", async () => {
    const policy =
      '@id("p") permit (principal is User, action == Action::"read", resource is Doc) when { context has ip };';
    expect(await findings(policy, { "policies/usual.cedar": "" })).toEqual([
      "policies/budgets.yaml:4:11 unused-budget",
      "schemas/s.cedarschema:9:26 unused-action",
    ]);
  });

  test("that a policy has no `@id`, as an error of its own", async () => {
    expect(await findings("permit (principal, action, resource);")).toEqual([
      "policies/p.cedar:1:1 missing-id",
    ]);
  });
});

test("nothing is found in the shipped policies", async () => {
  const shipped = { policies: "policies", schemas: "schemas", entities: "policies/entities" };
  const { findings: found, valid } = await checkPolicies(
    Object.fromEntries(
      Object.entries(shipped).map(([name, path]) => [name, join(repository, path)]),
    ) as typeof shipped,
  );
  expect([found, valid?.loaded.policies]).toEqual([[], 11]);
});

test("every rule stands in the documents, and no other", () => {
  const page = readFileSync(join(repository, "docs/authoring.md"), "utf8").split("## Rules")[1]!;
  const documented = [...page.matchAll(/^\| `([\w-]+)`/gm)].map(([, rule]) => rule!);
  expect(documented.toSorted()).toEqual(Object.keys(rules).toSorted());
});
