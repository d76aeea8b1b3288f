/** `remit budget` and `remit usage` as a user runs them: the built program beside a service, and without one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../../conformance-tests/service.ts";

const main = join(repository, "dist/cli/main.js");
const auditor = "spiffe://example.org/agents/a11y-auditor";
const checker = "spiffe://example.org/agents/link-checker";

type Run = { code: number | null; stdout: string; stderr: string };

const remit = async (cwd: string, args: string[]): Promise<Run> => {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { PATH: process.env["PATH"] },
  });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, stdout, stderr };
};

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ from: repository });
  const { body } = await post(`${service.url}/access/v1/evaluation`, {
    subject: { type: "Agent", id: checker },
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit: { run: "=1\u001b[2J", estimate: { usd_micros: 300_000 } } },
  });
  const { hold } = (body as unknown as { context: { remit: { hold: { id: string } } } }).context.remit;
  await post(`${service.url}/v1/holds/${hold.id}/settle`, { amounts: { usd_micros: 250_000 } });
});
afterAll(() => service.close());

const run = (...args: string[]): Promise<Run> => remit(service.dir, args);

const json = async (...args: string[]): Promise<Record<string, unknown>[]> => {
  const { code, stdout, stderr } = await run(...args, "--format", "json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as Record<string, unknown>[];
};

const account = async (agent: string): Promise<Record<string, unknown> | undefined> =>
  (await json("budget", "show", "agent-daily-usd")).find((each) => each["account"] === `agent:${agent}`);

test("the budgets in force are listed, money as money", async () => {
  const { stdout } = await run("budget", "list");
  expect(stdout).toMatch(/^id +limit +per +window +mode$/m);
  expect(stdout).toMatch(/^agent-daily-usd +5\.00 USD +agent +day \(Europe\/Berlin\) +hard$/m);
  expect(stdout).toMatch(/^agent-hourly-requests +600 requests +agent +rolling 3600 s +hard$/m);
  const listed = await json("budget", "list");
  expect(listed.map(({ id }) => id)).toEqual([
    "agent-daily-usd",
    "team-monthly-usd",
    "agent-hourly-requests",
  ]);
});

test("the accounts of a budget are shown, a sub-agent's consumption in its parent's too", async () => {
  const { stdout } = await run("budget", "show", "agent-daily-usd");
  for (const agent of [auditor, checker])
    expect(stdout).toMatch(
      new RegExp(
        `^agent:${agent} +5\\.00 USD +0\\.00 USD +0\\.25 USD +0\\.00 USD +4\\.75 USD +5% +\\d{4}-`,
        "m",
      ),
    );
  expect(await account(checker)).toMatchObject({ used: 250_000, held: 0, remaining: 4_750_000 });
});

test("a grant raises the limit of its account and of no other, and its id is printed", async () => {
  const options = ["--account", `agent:${auditor}`, "--amount", "2000000", "--until", "2099-01-01"];
  const { code, stdout, stderr } = await run(
    "budget",
    "grant",
    "agent-daily-usd",
    ...options,
    "--reason",
    "big site",
  );
  expect([code, stderr]).toEqual([0, expect.stringMatching(/^remit: the grant counts from 2.* until 2099-/)]);
  expect(stdout).toMatch(/^[\w-]{36}\n$/);
  expect(await account(auditor)).toMatchObject({ limit: 7_000_000, granted: 2_000_000 });
  expect(await account(checker)).toMatchObject({ limit: 5_000_000, granted: 0 });
});

test("a grant that begins later doesn't count yet", async () => {
  const window = ["--from", "2098-01-01T00:00:00Z", "--until", "2099-01-01"];
  const options = ["--account", "team:web", "--amount", "1", ...window, "--reason", "later"];
  expect((await run("budget", "grant", "team-monthly-usd", ...options)).code).toBe(0);
  expect(await json("budget", "show", "team-monthly-usd")).toEqual([
    expect.objectContaining({ account: "team:web", limit: 100_000_000, granted: 0 }),
  ]);
});

test("a correction counts down as well as up, and the account is shown as it is after it", async () => {
  const adjust = (amount: string): Promise<Run> =>
    run(
      "budget",
      "adjust",
      "agent-daily-usd",
      "--account",
      `agent:${checker}`,
      "--unit",
      "usd_micros",
      "--amount",
      amount,
      "--reason",
      "invoice",
    );
  const before = Number((await account(checker))?.["used"]);
  expect((await adjust("1000000")).stdout).toContain(" 1.25 USD ");
  expect(await account(checker)).toMatchObject({ used: before + 1_000_000 });
  expect((await adjust("-1000000")).code).toBe(0);
  expect(await account(checker)).toMatchObject({ used: before });
});

test("usage is summed by what is asked for, and found by agent, run and time", async () => {
  const day = new Date().toISOString().slice(0, 10);
  const usage = await json("usage", "--by", "model,agent", "--agent", checker, "--run", "=1\u001b[2J");
  expect(usage).toContainEqual(
    expect.objectContaining({ model: "small-1", agent: checker, unit: "usd_micros", amount: 250_000 }),
  );
  expect(await json("usage", "--run", "another")).toEqual([]);
  expect(await json("usage", "--to", "1h")).toEqual([]);
  expect((await json("usage", "--by", "day", "--from", "1h")).length).toBeGreaterThan(0);
  const { stdout } = await run("usage", "--by", "day,agent", "--agent", checker);
  expect(stdout).toMatch(/^day +agent +unit +amount$/m);
  expect(stdout).toMatch(new RegExp(`^${day.slice(0, 4)}-\\S+ +${checker} +usd_micros +0\\.25 USD$`, "m"));
});

test("CSV has lines as the RFC has them, and nothing in it moves the cursor", async () => {
  const { code, stdout } = await run("usage", "--by", "run", "--format", "csv");
  expect(code).toBe(0);
  const lines = stdout.split("\r\n");
  expect(lines[0]).toBe("run,unit,amount");
  expect(lines).toContain("'=1\\u{1b}[2J,usd_micros,250000");
  expect(stdout.replaceAll("\r\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test("what the service refuses is one line and fails", async () => {
  const { code, stdout, stderr } = await run("budget", "show", "none");
  expect([code, stdout, stderr]).toEqual([1, "", "remit: there is no budget `none`\n"]);
});

test.each([
  ["budget", "list"],
  ["budget", "show", "agent-daily-usd"],
  ["usage", "--format", "csv"],
])("without a service, `%s %s` says that one must run", async (...args) => {
  const { code, stdout, stderr } = await remit(tempDir(), args);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^remit: no service runs on .*`remit serve`, which must run\n$/);
});

const grantOptions = ["grant", "b", "--account", "all", "--reason", "r", "--until"];

test.each([
  [["budget", ...grantOptions, "24h", "--amount", "1"], "expected RFC 3339 or YYYY-MM-DD"],
  [["budget", ...grantOptions, "2099-01-01", "--amount", "1.5"], "expected a whole number from 1"],
  [["budget", ...grantOptions, "2099-01-01", "--amount", "-1"], "expected a whole number from 1"],
  [["budget", ...grantOptions, "2099-01-01"], "--amount"],
  [
    ["budget", "adjust", "b", "--account", "all", "--unit", "u", "--reason", "r", "--amount", "0"],
    "other than 0",
  ],
  [["usage", "--by", "agent,colour"], "`colour` is none of agent"],
  [["usage", "--format", "ndjson"], "table, json, csv"],
])("used wrongly (%j) exits with 2 and says how", async (args, message) => {
  const { code, stdout, stderr } = await remit(tempDir(), args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});
