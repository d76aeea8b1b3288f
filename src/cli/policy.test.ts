/** The author's workbench as an author uses it: the built program, real folders, edits and mistakes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { post, repository, startTestService, tempDir, until } from "../../conformance-tests/service.ts";
import { runPolicyTests } from "../app-cases.ts";
import { loadConfig } from "../config/load.ts";
import { findingText } from "./finding.ts";

// Every step of an author is a process of its own.
vi.setConfig({ testTimeout: 120_000 });

const main = join(repository, "dist/cli/main.js");

type Run = { code: number | null; stdout: string; stderr: string };

const start = (cwd: string, args: string[]): ChildProcess =>
  spawn(process.execPath, [main, ...args], { cwd, env: { PATH: process.env["PATH"] } });

const remit = async (cwd: string, ...args: string[]): Promise<Run> => {
  const child = start(cwd, args);
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, stdout, stderr };
};

/** What `remit init` writes. */
const project = (): string => {
  const dir = join(tempDir(), "project");
  cpSync(join(repository, "starter"), dir, { recursive: true });
  return dir;
};

const edit = (dir: string, path: string, change: (text: string) => string): void => {
  const before = readFileSync(join(dir, path), "utf8");
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(join(dir, path), after);
};

const policies = "policies/agents.cedar";
const cases = "policies/agents.test.yaml";

test(
  "an author's first ten minutes: init, edit, check, test, cover, mutate, simulate",
  { timeout: 120_000 },
  async () => {
    const dir = join(tempDir(), "project");
    expect((await remit(tempDir(), "init", dir)).code).toBe(0);
    expect(await remit(dir, "policy", "check", "--strict")).toMatchObject({ code: 0, stderr: "" });
    const green = await remit(dir, "policy", "test", "--cover", "100", "--mutate");
    expect(green).toMatchObject({ code: 0, stderr: "" });
    expect(green.stdout).toMatch(/5 tests, 24 decisions: all as expected\n$/);

    // A typo in an attribute.
    edit(dir, policies, (text) =>
      text.replace("{ resource.secret }", "{ resource.secrte || resource.draft }"),
    );
    const broken = await remit(dir, "policy", "check");
    expect([broken.code, broken.stdout]).toEqual([1, ""]);
    expect(broken.stderr).toContain(
      "policies/agents.cedar:17:8: error[invalid]: for policy `never-read-secrets`, attribute `secrte`",
    );
    expect(broken.stderr).toContain(
      "\n  17 | when { resource.secrte || resource.draft };\n     |        ^\n",
    );
    expect((await remit(dir, "policy", "test")).code).toBe(1);

    // Drafts become secret too: the schema knows of them, one is stored, and nobody has tested it.
    edit(dir, policies, (text) => text.replace("resource.secrte", "resource.secret"));
    edit(dir, "schemas/world.cedarschema", (text) =>
      text.replace("secret: Bool,", "secret: Bool,\n  draft: Bool,"),
    );
    edit(dir, "policies/entities/entities.yaml", (text) =>
      text.replaceAll(/secret: (\w+)/g, "secret: $1, draft: false"),
    );
    expect(await remit(dir, "policy", "check")).toMatchObject({ code: 0 });
    const uncovered = await remit(dir, "policy", "test", "--cover", "100");
    expect(uncovered).toMatchObject({ code: 1, stderr: "remit: coverage is 91 %, less than 100 %\n" });
    expect(uncovered.stdout).toContain("  policies/agents.cedar:17:27: never true: `resource.draft`\n");
    const holes = await remit(dir, "policy", "test", "--mutate");
    expect(holes.code).toBe(1);
    expect(holes.stdout).toContain(
      "  policies/agents.cedar:17:27: no test notices: drop term: `false` for `resource.draft`\n",
    );

    // The test that was missing.
    edit(dir, cases, (text) =>
      text.replace(
        "tests:\n",
        `  draft: { type: document, id: handbook/draft }
entities:
  - uid: { type: Document, id: handbook/draft }
    attrs: { project: { type: Project, id: handbook }, secret: false, draft: true }
tests:
  - { name: drafts stay closed, subject: writer, action: read, resource: draft, expect: { decision: deny, policies: [never-read-secrets] } }
`,
      ),
    );
    expect(await remit(dir, "policy", "test", "--cover", "100", "--mutate")).toMatchObject({
      code: 0,
      stderr: "",
    });

    // What was really asked meanwhile, and what other policies would have said.
    const service = await startTestService({ dir });
    const answer = await post(`${service.url}/access/v1/evaluation`, {
      subject: { type: "agent", id: "agents/writer" },
      action: { name: "invoke" },
      resource: { type: "model", id: "small" },
    });
    expect(answer.body.decision).toBe(true);
    cpSync(join(dir, "policies"), join(dir, "candidate"), { recursive: true });
    edit(dir, "candidate/agents.cedar", (text) =>
      text.replace('@id("invoke-models")\npermit', '@id("invoke-models")\nforbid'),
    );
    const flip = await remit(dir, "policy", "simulate", "--candidate", "candidate");
    await service.close();
    expect([flip.code, flip.stderr]).toEqual([1, ""]);
    expect(flip.stdout).toMatch(
      /^permit → deny {2}invoke-models {2}agents\/writer: 1 decision, \$0\.020000 at stake\n/,
    );
    const byTests = await remit(dir, "policy", "simulate", "--candidate", "candidate", "--cases");
    expect(byTests.stdout).toMatch(
      /^permit → deny {2}invoke-models {2}agents\/writer: 3 decisions, \$0\.060000 at stake\n/,
    );
    expect(await remit(dir, "policy", "simulate", "--recorded")).toMatchObject({ code: 0, stderr: "" });
  },
);

test(
  "the pack for tools is strict, covered, and every mutant of it is noticed",
  { timeout: 120_000 },
  async () => {
    const dir = join(tempDir(), "tools");
    expect((await remit(tempDir(), "init", "--pack", "tools", dir)).code).toBe(0);
    expect(await remit(dir, "policy", "check", "--strict")).toMatchObject({ code: 0 });
    expect(await remit(dir, "policy", "test", "--cover", "100", "--mutate")).toMatchObject({ code: 0 });
  },
);

test("init writes into an empty folder only, and changes nothing in another", async () => {
  const dir = tempDir();
  mkdirSync(join(dir, ".git"));
  expect((await remit(dir, "init")).code).toBe(0);
  const again = await remit(dir, "init");
  expect(again).toEqual({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^remit: `\.` isn't empty: it holds `/),
  });
  writeFileSync(join(dir, policies), "// mine\n");
  await remit(dir, "init", ".");
  expect(readFileSync(join(dir, policies), "utf8")).toBe("// mine\n");
});

describe("what is found by a check", () => {
  const doubtful = (): string => {
    const dir = project();
    edit(dir, policies, (text) => `${text}\n@id("a,b:100%")\npermit (principal, action, resource);\n`);
    return dir;
  };

  test("is a warning that fails only a strict check", async () => {
    const dir = doubtful();
    const checked = await remit(dir, "policy", "check");
    expect(checked.code).toBe(0);
    expect(checked.stderr).toContain("policies/agents.cedar:27:1: warning[open-permit]: ");
    expect(checked.stderr).toMatch(/^remit: \d warnings$/m);
    expect((await remit(dir, "policy", "check", "--strict")).code).toBe(1);
  });

  test("is told as JSON, SARIF and annotations, with path, line, column and rule", async () => {
    const dir = doubtful();
    const [json, sarif, github] = await Promise.all(
      ["json", "sarif", "github"].map((format) => remit(dir, "policy", "check", "--format", format)),
    );
    const found = (JSON.parse(json!.stdout) as { findings: object[] }).findings;
    const open = { file: policies, line: 27, column: 1, severity: "warning", rule: "open-permit" };
    expect(found).toContainEqual({ ...open, message: "`a,b:100%` permits everything to everyone" });
    const { runs } = JSON.parse(sarif!.stdout) as {
      runs: { results: object[]; tool: { driver: { rules: object[] } } }[];
    };
    expect(runs[0]!.results).toHaveLength(found.length);
    expect(runs[0]!.results).toContainEqual({
      ruleId: "open-permit",
      level: "warning",
      message: { text: "`a,b:100%` permits everything to everyone" },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: policies },
            region: { startLine: 27, startColumn: 1 },
          },
        },
      ],
    });
    expect(runs[0]!.tool.driver.rules).toContainEqual({
      id: "open-permit",
      shortDescription: { text: expect.any(String) },
    });
    expect(github!.stdout).toContain(
      "::warning file=policies/agents.cedar,line=27,col=1,title=open-permit::`a,b:100%25` permits everything to everyone\n",
    );
    for (const run of [json, sarif, github]) expect([run!.code, run!.stderr]).toEqual([0, ""]);
  });
});

describe("a test file that says nothing true is an error with its place:", () => {
  const file = (tests: string, more = ""): string => `subjects: { w: { type: agent, id: agents/writer } }
resources: { d: { type: document, id: handbook/intro } }
${more}
tests:
  - name: a
    subject: w
    action: read
    resource: d
    ${tests}
`;
  test.each([
    ["broken YAML", "tests: [", "1:9: error[invalid]: "],
    ["no tests", "tests: []", "1:8: error[invalid]: tests: a test file without tests"],
    [
      "an unknown key",
      file("expect: permit\n    expects: deny"),
      '5:5: error[invalid]: Unrecognized key: "expects"',
    ],
    ["a wrong type", file("expect: permit\n    now: yesterday"), "10:10: error[invalid]: now: "],
    ["nothing expected", file("context: {}"), "5:5: error[invalid]: expect: "],
    [
      "an expectation without a decision",
      file("expect: { reason: no_permit }"),
      "9:13: error[invalid]: expect",
    ],
    [
      "a reason that there isn't",
      file("expect: { decision: deny, reason: because }"),
      "error[invalid]: expect",
    ],
    [
      "a subject that has no name",
      file("expect: permit").replace("subject: w", "subject: x"),
      "6:14: error[invalid]: `subjects` has no `x`",
    ],
    [
      "a combination that nothing is expected of",
      file("expect: [{ action: write, decision: deny }]"),
      "9:13: error[invalid]: nothing is expected of w · read · d",
    ],
    [
      "a row that nothing meets",
      file("expect: [{ decision: permit }, { action: read, decision: deny }]"),
      "9:36: error[invalid]: no combination of the test meets this row first",
    ],
    [
      "a budget that there isn't",
      file("expect: permit\n    balances: { money: { used: 1 } }"),
      "10:24: error[invalid]: `budgets.yaml` declares no budget `money`",
    ],
    [
      "a parameter that isn't used",
      file("expect: permit\n    each: [{ x: 1 }]"),
      "10:17: error[invalid]: the parameter `x` is used nowhere",
    ],
    [
      "an entity that the schema refuses",
      file("expect: permit", "entities: [{ uid: { type: Document, id: x } }]"),
      "3:12: error[invalid]: the attribute `project` of `Document` is missing",
    ],
    [
      "an agent that the schema refuses",
      file("expect: permit", "agents: [{ id: agents/x, attrs: { shoe: 1 } }]"),
      "3:10: error[invalid]: `Agent` has no attribute `shoe`",
    ],
  ])("%s", async (_what, text, error) => {
    const dir = project();
    writeFileSync(join(dir, cases), text);
    const config = loadConfig({ flags: {}, env: {}, cwd: dir });
    const { findings, results, sources } = await runPolicyTests(config, { files: [], mutate: false });
    expect(results).toEqual([]);
    const told = findings.map((finding) => findingText(finding, sources)).join("");
    expect(told).toContain(error);
    expect(told).toMatch(/\bpolicies\/agents\.test\.yaml:\d+:\d+: /);
  });

  test("no test file, and no test of that name", async () => {
    const dir = project();
    expect((await remit(dir, "policy", "test", "nowhere")).stderr).toContain(
      "no test file of that name was found",
    );
    expect((await remit(dir, "policy", "test", "--filter", "nothing")).stderr).toContain(
      "no test's name holds `nothing`",
    );
  });
});

describe("tests", () => {
  test("that don't come out say what they got, and stand in the JUnit report", async () => {
    const dir = project();
    edit(dir, cases, (text) =>
      text.replace(
        "decision: deny, policies: [never-read-secrets]",
        'decision: permit, policies: [x], messages: ["<&>"]',
      ),
    );
    const { code, stdout } = await remit(
      dir,
      "policy",
      "test",
      "--filter",
      "NO SECRET",
      "--junit",
      "junit.xml",
    );
    expect(code).toBe(1);
    expect(stdout).toContain(
      [
        "      writer · read · salaries  (line 13)",
        "        expected permit, got deny (policy_forbid) by `never-read-secrets`",
        "        expected the policies `x`, got `never-read-secrets`",
        "        expected the messages `<&>`, got `Secret documents are not for agents.`",
        "1 test, 9 decisions: 1 not as expected",
        "",
      ].join("\n"),
    );
    const report = readFileSync(join(dir, "junit.xml"), "utf8");
    expect(report).toContain('<testsuite name="policies/agents.test.yaml" tests="9" failures="1">');
    expect(report).toContain("expected the messages `&lt;&amp;&gt;`");
  });

  test("fail where a policy fails that isn't expected to, and pass where it is", async () => {
    const dir = project();
    edit(
      dir,
      policies,
      (text) =>
        `${text}\n@id("odd")\npermit (principal is Agent, action == Action::"read", resource is Document)\nwhen { principal.owner in User::"x" && 9007199254740991 * 9007199254740991 > 1 };\n`,
    );
    edit(dir, cases, (text) =>
      text.replace(
        "tests:\n",
        `tests:\n  - { name: odd, subject: writer, action: read, resource: intro, expect: permit }\n`,
      ),
    );
    expect(await remit(dir, "policy", "test", "--filter", "odd")).toMatchObject({ code: 0 });
    edit(dir, policies, (text) => text.replace('principal.owner in User::"x" && ', ""));
    const failing = await remit(dir, "policy", "test", "--filter", "odd");
    expect(failing.code).toBe(1);
    expect(failing.stdout).toContain("expected that these policies fail: none, got `odd`");
    edit(dir, cases, (text) =>
      text.replace(
        "resource: intro, expect: permit }",
        "resource: intro, expect: { decision: permit, errors: [odd] } }",
      ),
    );
    expect(await remit(dir, "policy", "test", "--filter", "odd")).toMatchObject({ code: 0 });
  });

  test("run again when a file changes, until they are stopped", async () => {
    const dir = project();
    const child = start(dir, ["policy", "test", "--watch"]);
    try {
      let stdout = "";
      child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
      await until(() => stdout.includes("all as expected"));
      edit(dir, policies, (text) => text.replace("when { resource.secret }", "unless { resource.secret }"));
      await until(() => stdout.includes("not as expected"));
      edit(dir, policies, (text) => text.replace("unless { resource.secret }", "when { resource.secret }"));
      await until(() => /not as expected[^]*all as expected/.test(stdout));
    } finally {
      child.kill();
      await once(child, "close");
    }
  });

  test("show each head and term with how often it came out which way", async () => {
    const { stdout } = await remit(project(), "policy", "test", "--annotate");
    expect(stdout).toContain("policies/agents.cedar:10  never-read-secrets\n");
    expect(stdout).toMatch(/ {4}resource\.secret\n {6}\d+ true, \d+ false\n/);
  });
});

test(
  "the shipped policies are formatted, clean, tested to the last term, and no mutant goes unnoticed",
  { timeout: 60_000 },
  async () => {
    expect(await remit(repository, "policy", "format", "--check")).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect(await remit(repository, "policy", "check", "--strict")).toMatchObject({ code: 0, stderr: "" });
    const { code, stdout, stderr } = await remit(repository, "policy", "test", "--cover", "100", "--mutate");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("coverage: 100 % of the outcomes of heads and terms\n");
    const [, noticed, all] = /mutants: (\d+) of (\d+) were noticed/.exec(stdout)!;
    expect(Number(all)).toBeGreaterThan(50);
    expect(noticed).toBe(all);
  },
);

test("format lists what it changes, keeps comments, and says where it can't", async () => {
  const dir = project();
  writeFileSync(join(dir, "policies/b.cedar"), '// why\n@id("b") permit(principal,action,resource);\n');
  expect(await remit(dir, "policy", "format", "--check")).toEqual({
    code: 1,
    stdout: "policies/b.cedar\n",
    stderr: "",
  });
  expect(await remit(dir, "policy", "format")).toEqual({ code: 0, stdout: "policies/b.cedar\n", stderr: "" });
  expect(readFileSync(join(dir, "policies/b.cedar"), "utf8")).toBe(
    '// why\n@id("b")\npermit (principal, action, resource);\n',
  );
  expect(await remit(dir, "policy", "format", "--check")).toEqual({ code: 0, stdout: "", stderr: "" });
  writeFileSync(join(dir, "policies/b.cedar"), '\n@id("b") permit(principal,action,resorce);\n');
  const broken = await remit(dir, "policy", "format");
  expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(/^policies\/b\.cedar:2:34: /) });
});

test("show says which policies a question meets, and how far each got", async () => {
  const dir = project();
  const asked = ["policy", "show", "--subject", "agent::agents/writer", "--action", "read", "--resource"];
  const { code, stdout } = await remit(dir, ...asked, "document::handbook/intro");
  expect([code, stdout]).toEqual([
    0,
    `Agent::"agents/writer"
  forbid never-read-secrets: doesn't apply  (policies/agents.cedar:10)
    false: resource.secret
  permit read-own-projects: applies  (policies/agents.cedar:2)
    true: principal.projects.contains(resource.project)
permit: policy_permit
`,
  ]);
  const unknown = await remit(dir, ...asked, "document::nowhere");
  expect(unknown.stdout).toBe("deny: unknown_entity: resource is not stored\n");
  cpSync(join(dir, "policies/agents.cedar"), join(dir, "policies/twice.cedar"));
  expect(await remit(dir, ...asked, "document::handbook/intro")).toMatchObject({ code: 1, stdout: "" });
});
