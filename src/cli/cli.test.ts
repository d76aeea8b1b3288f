/** The command as a user runs it: the built program in processes of its own, beside a service and without one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  fixture,
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";
import { parseInstant } from "./instant.ts";
import { parseResource } from "./ledger.ts";
import { listing, printable, printableJson, table } from "./table.ts";

const main = join(repository, "dist/cli/main.js");

type Run = { code: number | null; stdout: string; stderr: string };

const start = (cwd: string, args: string[], env: Record<string, string> = {}): ChildProcess =>
  spawn(process.execPath, [main, ...args], { cwd, env: { PATH: process.env["PATH"], ...env } });

const remit = async (cwd: string, args: string[], env: Record<string, string> = {}): Promise<Run> => {
  const child = start(cwd, args, env);
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, stdout, stderr };
};

/** A folder as a user has it: policies and schemas, and perhaps a configuration. */
const folder = (yaml?: string): string => {
  const dir = tempDir();
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
  if (yaml !== undefined) writeFileSync(join(dir, "remit.yaml"), yaml);
  return dir;
};

const hash = `sha256:${"0".repeat(64)}`;

describe("remit", () => {
  test("says what it can do, and its version", async () => {
    const dir = tempDir();
    const help = await remit(dir, ["--help"]);
    expect(help.code).toBe(0);
    for (const noun of ["serve", "config", "policy", "ledger", "caller"]) expect(help.stdout).toContain(noun);
    const version = await remit(dir, ["--version"]);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  test.each([
    [["serv"], "remit: unknown command 'serv'"],
    [["serve", "--typo"], "remit: unknown option '--typo'"],
    [["caller", "add"], "remit: missing required argument 'name'"],
    [["caller", "add", "x", "--scope", "root"], "`root` is none of evaluate"],
    [["caller", "add", "x", "--subject", ""], "must not be empty"],
    [["ledger", "list", "--decision", "maybe"], "permit, deny"],
    [["ledger", "list", "--from", "yesterday"], "expected RFC 3339"],
    [["ledger", "list", "--limit", "0"], "expected a whole number from 1"],
    [["ledger", "list", "--resource", "record"], "expected TYPE::ID"],
    [["ledger", "list", "--format", "xml"], "table, json, ndjson"],
  ])("used wrongly (%j) exits with 2 and says how", async (args, message) => {
    const { code, stdout, stderr } = await remit(tempDir(), args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^remit: /);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ *at /m);
  });

  test("reports what nobody foresaw in one line, and with its stack when debugging", async () => {
    const dir = folder();
    writeFileSync(join(dir, "data"), "a file, not a folder");
    const plain = await remit(dir, ["caller", "list"]);
    expect(plain).toMatchObject({ code: 1, stdout: "" });
    expect(plain.stderr).toMatch(/^remit: .*\n$/);
    const debugging = await remit(dir, ["caller", "list"], { REMIT_LOG_LEVEL: "debug" });
    expect(debugging.stderr).toMatch(/^remit: {5}at /m);
  });

  test("ends quietly when its reader has gone", async () => {
    const child = start(folder(), ["config"]);
    child.stdout!.destroy();
    let stderr = "";
    child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child, "close");
    expect([child.exitCode, stderr]).toEqual([0, ""]);
  });
});

describe("remit config", () => {
  test("prints the effective configuration without secrets", async () => {
    const dir = folder(`callers: [{name: gateway, key_hash: "${hash}", scopes: [evaluate]}]\n`);
    const { code, stdout, stderr } = await remit(dir, ["config", "--listen", "127.0.0.1:9"], {
      REMIT_LOG_LEVEL: "warn",
    });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("listen: 127.0.0.1:9\n");
    expect(stdout).toContain("log_level: warn\n");
    expect(stdout).toContain("name: gateway");
    expect(stdout).not.toContain("000000");
  });

  test("names each fault in a line, and exits with 1", async () => {
    const dir = folder("body_bytes_max: 1\ntypo: 2\n");
    const { code, stdout, stderr } = await remit(dir, ["config"], { REMIT_TYPO: "1" });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.split("\n")).toEqual([
      "remit: REMIT_TYPO: no such setting",
      expect.stringContaining("remit: remit.yaml:1:17: body_bytes_max: too small"),
      "remit: remit.yaml:2:7: typo: no such setting",
      "",
    ]);
  });
});

describe("remit policy check", () => {
  test("says what it found in good folders", async () => {
    const { code, stdout } = await remit(folder(), ["policy", "check"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ok: \d+ policies, \d+ entities, \d+ agents; policy set sha256:[0-9a-f]{64}\n$/);
  });

  test("names file, line and column of what is wrong, and exits with 1", async () => {
    const dir = folder();
    writeFileSync(
      join(dir, "policies/bad.cedar"),
      '@id("bad")\npermit (principal, action, resource) when {\n',
    );
    const { code, stdout, stderr } = await remit(dir, ["policy", "check"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^policies\/bad\.cedar:\d+:\d+: /);
    expect(stderr).toContain("remit: 1 error\n");
  });
});

const untilListening = async (child: ChildProcess): Promise<string> => {
  let text = "";
  child.stdout!.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr!.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await until(() => /listens on (http:\S+)/.test(text) || child.exitCode !== null);
  return /listens on (http:\S+)/.exec(text)?.[1] ?? text;
};

describe("remit serve", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "stops with 0 on %s, told as soon as it says that it listens",
    async (signal) => {
      const child = start(folder(), ["serve", "--listen", "127.0.0.1:0"], { REMIT_LOG_LEVEL: "error" });
      expect(await untilListening(child)).toMatch(/^http:/);
      child.kill(signal);
      await once(child, "exit");
      expect(child.exitCode).toBe(0);
    },
  );

  test("doesn't wait for open requests when it is told twice", async () => {
    const child = start(folder(), ["serve", "--listen", "127.0.0.1:0"], {
      REMIT_LOG_LEVEL: "error",
      REMIT_SHUTDOWN_GRACE_MS: "600000",
    });
    const { hostname, port } = new URL(await untilListening(child));
    const socket = connect(Number(port), hostname);
    // The service resets the connection when it goes.
    socket.on("error", () => undefined);
    socket.write(
      "POST /access/v1/evaluation HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    // An answered request on a second connection says that the first one has arrived.
    const answers = (): Promise<boolean> =>
      fetch(`http://${hostname}:${port}/healthz`, { headers: { connection: "close" } }).then(
        () => true,
        () => false,
      );
    expect(await answers()).toBe(true);
    child.kill("SIGTERM");
    await until(async () => !(await answers()));
    expect(child.exitCode).toBe(null);
    child.kill("SIGTERM");
    await once(child, "exit");
    expect(child.exitCode).toBe(1);
    socket.destroy();
  });
});

const question = (user: string, record = "record-1", action = "read"): object => ({
  subject: { type: "user", id: user },
  action: { name: action },
  resource: { type: "record", id: record },
});

describe("remit caller", () => {
  test("adds, lists and revokes in the files when no service runs", async () => {
    const dir = folder(`callers: [{name: file, key_hash: "${hash}", scopes: [evaluate]}]\n`);
    const added = await remit(dir, [
      "caller",
      "add",
      "one",
      "--scope",
      "evaluate,settle",
      "--scope",
      "audit",
    ]);
    expect(added).toMatchObject({ code: 0, stdout: expect.stringMatching(/^remit_[\w-]{43}\n$/) });
    expect(added.stderr).toContain("not shown again");
    const options = [
      "--detail",
      "user",
      "--subject",
      "User::a,b",
      "--subject",
      "User::c",
      "--agent",
      "x*",
      "--actor-required",
      "--token-required",
      "--proof-url",
      "https://tools.example.org/",
      "--obligation",
      "log",
    ];
    expect((await remit(dir, ["caller", "add", "two", ...options])).code).toBe(0);
    expect(await remit(dir, ["caller", "add", "one"])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^remit: .*`one`.*\n$/),
    });
    expect((await remit(dir, ["caller", "revoke", "one"])).code).toBe(0);
    expect(await remit(dir, ["caller", "revoke", "nobody"])).toMatchObject({ code: 1, stdout: "" });
    const listed = await remit(dir, ["caller", "list", "--format", "json"]);
    expect(listed.stdout).not.toContain("sha256:");
    expect(JSON.parse(listed.stdout)).toEqual([
      expect.objectContaining({ name: "file" }),
      expect.objectContaining({
        name: "one",
        scopes: ["evaluate", "settle", "audit"],
        detail: "plain",
        revoked_at: expect.any(String),
      }),
      {
        name: "two",
        scopes: ["evaluate"],
        detail: "user",
        subjects: ["User::a,b", "User::c"],
        agents: ["x*"],
        actor_required: true,
        token_required: true,
        proof_urls: ["https://tools.example.org/"],
        obligations: ["log"],
        added_at: expect.any(String),
      },
    ]);
    const shown = await remit(dir, ["caller", "list"]);
    expect(shown.stdout.split("\n")[0]).toMatch(/^name +scopes +detail +added +revoked$/);
    expect(shown.stdout).toMatch(/^file +evaluate +plain +configuration$/m);
  });

  test("works through the service that runs: a key counts at once, and no longer once revoked", async () => {
    const service = await startTestService();
    const url = `${service.url}/access/v1/evaluation`;
    const added = await remit(service.dir, ["caller", "add", "gateway"]);
    expect([added.code, added.stderr]).toEqual([0, expect.stringContaining("not shown again")]);
    const bearer = { authorization: `Bearer ${added.stdout.trim()}` };
    expect((await post(url, question("alice"), bearer)).status).toBe(200);
    expect((await post(url, question("alice"))).status).toBe(401);
    expect((await remit(service.dir, ["caller", "list"])).stdout).toMatch(/^gateway +evaluate +plain/m);
    expect(await remit(service.dir, ["caller", "add", "gateway"])).toMatchObject({ code: 1, stdout: "" });
    expect((await remit(service.dir, ["caller", "revoke", "gateway"])).code).toBe(0);
    expect((await post(url, question("alice"), bearer)).status).toBe(401);
    await service.close();
  });

  test("bounds how often a caller asks, from the next question on and after a restart", async () => {
    const dir = folder();
    const before = await startTestService({ dir });
    const added = await remit(dir, ["caller", "add", "gateway", "--rate", "0.001/2"]);
    const bearer = { authorization: `Bearer ${added.stdout.trim()}` };
    const statuses = async ({ url }: TestService): Promise<number[]> => {
      const answers = [];
      for (let n = 0; n < 3; n++)
        answers.push((await post(`${url}/access/v1/evaluation`, question("alice"), bearer)).status);
      return answers;
    };
    expect(await statuses(before)).toEqual([200, 200, 429]);
    const { stdout } = await remit(dir, ["caller", "list", "--format", "json"]);
    const [listed] = JSON.parse(stdout) as unknown[];
    expect(listed).toMatchObject({ name: "gateway", rate: { per_second: 0.001, burst: 2 } });
    await before.close();
    const after = await startTestService({ dir });
    expect(await statuses(after)).toEqual([200, 200, 429]);
    await after.close();
    for (const rate of ["0", "-1", "5/0", "x", "1e9", "2000000"])
      expect([rate, (await remit(dir, ["caller", "add", "one", "--rate", rate])).code]).toEqual([rate, 2]);
  });
});

describe("remit ledger list", () => {
  const evil = "record\u001b[2J\u009b31m\u202e";
  let service: TestService;
  let dir: string;
  let online: Run;
  beforeAll(async () => {
    dir = folder();
    service = await startTestService({ dir });
    const url = `${service.url}/access/v1/evaluation`;
    await post(url, question("alice"));
    await post(url, question("mallory"));
    await post(url, question("alice", evil));
    for (let turn = 0; turn < 110; turn++) await post(url, question("alice", "record-2"));
    online = await remit(dir, ["ledger", "list", "--format", "json"]);
    await service.close();
  });
  afterAll(() => service.close().catch(() => undefined));

  const list = async (...args: string[]): Promise<{ index: number; [name: string]: unknown }[]> => {
    const { code, stdout, stderr } = await remit(dir, ["ledger", "list", "--format", "json", ...args]);
    expect([code, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout) as { index: number; [name: string]: unknown }[];
  };

  test("gives every entry, oldest first, the same through a service and from the files", async () => {
    const offline = await list();
    expect(offline.map(({ index }) => index)).toEqual(Array.from({ length: 116 }, (_, index) => index));
    // The last one tells of the look through the service.
    expect(JSON.parse(online.stdout)).toEqual(offline.slice(0, -1));
    expect(offline.at(-1)).toMatchObject({ kind: "ledger.read", caller: "admin" });
  });

  test("gives a line of JSON for each entry on demand", async () => {
    const { stdout } = await remit(dir, ["ledger", "list", "--format", "ndjson", "--limit", "2"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { index: number }).index)).toEqual([114, 115]);
  });

  test("shows the newest 100 as a table, oldest first", async () => {
    const { stdout } = await remit(dir, ["ledger", "list"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^index +time +decision +reason +subject +action +resource +policies$/);
    expect(lines).toHaveLength(101);
    expect(lines[1]).toMatch(/^16 /);
    expect(lines.at(-2)).toMatch(/^114 .* record::record-2/);
  });

  test("finds by decision, resource and time", async () => {
    const denied = await list("--decision", "deny");
    expect(denied.length).toBeGreaterThan(0);
    expect(denied.every(({ decision }) => decision === "deny")).toBe(true);
    expect((await list("--decision", "permit")).length + denied.length).toBe(113);
    expect((await list("--resource", "record::record-1")).map(({ index }) => index)).toEqual([2, 3]);
    expect((await list("--resource", `record::${JSON.stringify(evil)}`)).map(({ index }) => index)).toEqual([
      4,
    ]);
    expect(await list("--resource", "record::none")).toEqual([]);
    expect(await list("--from", "1h")).toHaveLength(116);
    expect(await list("--to", "1h")).toEqual([]);
    const all = await list();
    const instant = String(all[50]!["ts"]);
    expect((await list("--from", instant))[0]!.index).toBe(50);
    expect((await list("--to", instant)).at(-1)!.index).toBe(49);
    expect(await list("--agent", "nobody")).toEqual([]);
  });

  test("lets nothing through that could move the cursor, and loses nothing of it", async () => {
    const args = ["ledger", "list", "--resource", `record::${evil}`];
    for (const format of ["table", "json", "ndjson"]) {
      const { stdout } = await remit(dir, [...args, "--format", format]);
      expect(stdout).toContain("[2J");
      expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
    const [entry] = await list("--resource", `record::${evil}`);
    expect(entry!["resource"]).toEqual({ type: "record", id: evil });
  });
});

const minute = 60_000_000;
const now = Date.parse("2026-05-01T12:00:00Z");

test.each([
  ["2026-05-01", now * 1000 - 720 * minute],
  ["2026-05-01T12:00:00Z", now * 1000],
  ["2026-05-01T14:00:00+02:00", now * 1000],
  ["2026-05-01T12:00:00.000001Z", now * 1000 + 1],
  ["2026-05-01T12:00:00.5Z", now * 1000 + 500_000],
  ["2026-05-01T12:00:00.1234567Z", now * 1000 + 123_456],
  ["2024-02-29", Date.parse("2024-02-29T00:00:00Z") * 1000],
  ["0s", now * 1000],
  ["15m", now * 1000 - 15 * minute],
  ["24h", now * 1000 - 1440 * minute],
  ["7d", now * 1000 - 10_080 * minute],
])("the instant %s is read to the microsecond", (text, at) => {
  expect(parseInstant(text, now)).toBe(at);
});

test.each([
  "",
  "now",
  "2026-05-01T12:00:00",
  "2026-02-30",
  "2026-13-01",
  "2026-05-01T25:00:00Z",
  "1w",
  "-1h",
  "99999999999d",
  "1999999d",
  "1e3s",
])("`%s` is no instant", (text) => {
  expect(() => parseInstant(text, now)).toThrow(InvalidArgumentError);
});

test.each([
  ["record::a", { type: "record", id: "a" }],
  ["record::a::b", { type: "record", id: "a::b" }],
  ['A::B::"c::d"', { type: "A::B", id: "c::d" }],
  ['record::"a\\u001b"', { type: "record", id: "a\u001b" }],
  ['record::"a"b"', { type: "record", id: '"a"b"' }],
])("the resource %s is read as %o", (text, resource) => {
  expect(parseResource(text)).toEqual(resource);
});

test("a table of more rows than a call can have arguments is printed", () => {
  const rows = Array.from({ length: 200_000 }, (_, row) => [String(row), "x"]);
  expect(table(["n", "x"], rows).endsWith("199999  x\n")).toBe(true);
});

test("an escaped text is the same JSON value and shows what was there", () => {
  const text = "a\u001b\u009b\u202e\u{e0001}\u2028é";
  expect(JSON.parse(printableJson({ text }))).toEqual({ text });
  expect(printable(text)).toBe("a\\u{1b}\\u{9b}\\u{202e}\\u{e0001}\\u{2028}é");
  expect(JSON.parse(listing([], "json", [], () => []))).toEqual([]);
});

test("a folder of its own is made for the data where none exists", async () => {
  const dir = folder();
  mkdirSync(join(dir, "deep"));
  const { code, stdout } = await remit(dir, ["ledger", "list", "--data", "deep/er/data", "--format", "json"]);
  expect([code, stdout]).toEqual([0, "[]\n"]);
});
