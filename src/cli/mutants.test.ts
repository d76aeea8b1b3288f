/** Mutants as an author meets them: of templates and their links, and those that are marked as meaning the same. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { repository, tempDir } from "../../conformance-tests/service.ts";
import { runPolicyTests, type TestRun } from "../app-cases.ts";
import { loadConfig } from "../config/load.ts";
import { loadErrorText } from "../kit/place.ts";

vi.setConfig({ testTimeout: 120_000 });

/** What `remit init` writes, with these files over it. */
const projectWith = (files: Record<string, string>): string => {
  const dir = join(tempDir(), "project");
  cpSync(join(repository, "starter"), dir, { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(dir, path), text);
  return dir;
};

const mutate = async (dir: string): Promise<TestRun> => {
  const config = loadConfig({ flags: {}, env: {}, cwd: dir });
  return runPolicyTests(config, { files: [], mutate: true });
};

const mutation = async (dir: string): Promise<NonNullable<TestRun["mutation"]>> => {
  const run = await mutate(dir);
  expect(run.findings).toEqual([]);
  if (!run.mutation) throw new Error(JSON.stringify(run.results.flatMap(({ tests }) => tests)));
  return run.mutation;
};

const template = `
// Who helps with one document.
@id("helps-with")
permit (
  principal == ?principal,
  action == Action::"read",
  resource == ?resource
)
when { !resource.secret };
`;

const linkOf = (id: string, agent: string, document: string): string =>
  `  - { id: ${id}, template: helps-with, principal: { type: Agent, id: ${agent} }, resource: { type: Document, id: ${document} } }\n`;
const links = `links:\n${linkOf("one-helps", "agents/one", "website/start")}${linkOf("two-helps", "agents/two", "handbook/intro")}`;

const agents = ["one", "two"].map(
  (name) => `  - { id: agents/${name}, owner: me@example.org, attrs: { projects: [] } }\n`,
);

const casesFor = (expectations: string, more = ""): string => `
subjects:
  one: { type: agent, id: agents/one }
  two: { type: agent, id: agents/two }
resources:
  start: { type: document, id: website/start }
  intro: { type: document, id: handbook/intro }
  salaries: { type: document, id: handbook/salaries }
  small: { type: model, id: small }
agents:
${agents.join("")}${more}tests:
${expectations}`;

const policies = readFileSync(join(repository, "starter/policies/agents.cedar"), "utf8");
const projectWithLinks = (cases: string, text = template): string =>
  projectWith({
    "policies/agents.cedar": `${policies}${text}`,
    "policies/links.yaml": links,
    "policies/helpers.test.yaml": cases,
  });

const oneTested =
  "  - { name: one helps, subject: one, action: read, resource: [start, intro], expect: [{ resource: start, decision: permit, policies: [one-helps] }, { decision: deny }] }\n";
const twoTested =
  "  - { name: two helps, subject: two, action: read, resource: [start, intro], expect: [{ resource: intro, decision: permit }, { decision: deny }] }\n";

const told = ({ survivors }: NonNullable<TestRun["mutation"]>): string[] =>
  survivors.map(
    ({ policy, place: { file, line, column }, kind, before }) =>
      `${policy} ${file}:${line}:${column} ${kind}: ${before}`,
  );

test("a template is changed for all of its links at once, and a link that no test needs is told where it stands", async () => {
  // Of a document that nobody may read, the template's own condition says nothing that another policy doesn't.
  const dropped = "helps-with policies/agents.cedar:34:1 drop condition: when { !resource.secret }";
  expect(told(await mutation(projectWithLinks(casesFor(oneTested))))).toEqual([
    dropped,
    "two-helps policies/links.yaml:3:5 drop link: two-helps",
  ]);
  expect(told(await mutation(projectWithLinks(casesFor(oneTested + twoTested))))).toEqual([dropped]);
});

test("a wider head than a slot's is a change of every link, which one test notices", async () => {
  const readsOne = oneTested.replace("[start, intro]", "[start, small]");
  const widened = "helps-with policies/agents.cedar:32:3 widen scope: resource == ?resource";
  expect(told(await mutation(projectWithLinks(casesFor(readsOne))))).toContain(widened);
  expect(told(await mutation(projectWithLinks(casesFor(oneTested))))).not.toContain(widened);
});

const mark = (text: string): string => `equivalent:\n  - { ${text}, reason: secrets are forbidden anyhow }\n`;

test("a survivor that is marked as equivalent is told apart, with the reason", async () => {
  const marked = mark('policy: helps-with, change: drop condition, of: "when {!resource.secret}"');
  const run = await mutation(projectWithLinks(casesFor(oneTested + twoTested, marked)));
  expect(run).toMatchObject({
    survivors: [],
    stale: [],
    equivalent: [{ change: { policy: "helps-with" }, reason: "secrets are forbidden anyhow" }],
  });
});

test.each([
  ["a change that a test notices", "policy: helps-with, change: swap effect", true],
  [
    "a text that isn't changed",
    'policy: helps-with, change: drop condition, of: "when { resource.open }"',
    false,
  ],
  ["a policy that there isn't", "policy: nobody-helps, change: swap effect", false],
])("a mark of %s is stale", async (_what, text, noticed) => {
  const run = await mutation(projectWithLinks(casesFor(oneTested + twoTested, mark(text))));
  expect(run.stale).toMatchObject([
    { noticed, mark: { place: { file: "policies/helpers.test.yaml", line: 14 } } },
  ]);
  expect(run.survivors).toHaveLength(1);
});

test.each([
  [
    "without a reason",
    "equivalent:\n  - { policy: helps-with, change: swap effect }\n",
    "equivalent.0.reason",
  ],
  ["of an unknown kind of change", mark("policy: helps-with, change: sort"), "equivalent.0.change"],
])("a mark %s is an error, with its place", async (_what, text, expected) => {
  const { findings } = await mutate(projectWithLinks(casesFor(oneTested, text)));
  const texts = findings.map(loadErrorText);
  expect(texts).toHaveLength(1);
  expect(texts[0]).toContain(expected);
  expect(texts[0]).toMatch(/^policies\/helpers\.test\.yaml:14:\d+: /);
});
