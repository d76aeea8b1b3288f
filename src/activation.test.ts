/** Policies are put in force by word, and go back by word: over HTTP and by command, with real folders and restarts. */
import { execFile } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import {
  fixture,
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../conformance-tests/service.ts";

const open: TestService[] = [];
const dirs: string[] = [];
afterEach(async () => {
  for (const service of open.splice(0)) await service.close();
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** A folder that outlives a service. */
const project = (): string => {
  const dir = tempDir();
  dirs.push(dir);
  for (const name of ["policies", "schemas"])
    cpSync(join(fixture, name), join(dir, name), { recursive: true });
  return dir;
};

const start = async (dir: string): Promise<TestService> => {
  const service = await startTestService({ dir });
  open.push(service);
  return service;
};

const stop = async (service: TestService): Promise<void> => {
  open.splice(open.indexOf(service), 1);
  await service.close();
};

const only = (permitted: string): string =>
  `@id("only-${permitted}") permit (principal, action == Action::"read", resource == record::"${permitted}");\n`;

const decides = async (service: TestService, resource: string): Promise<unknown> =>
  (
    await post(`${service.url}/access/v1/evaluation`, {
      subject: { type: "user", id: "alice" },
      action: { name: "read" },
      resource: { type: "record", id: resource },
    })
  ).body.decision;

const permitted = async (service: TestService): Promise<string[]> => {
  const records = ["record-1", "record-2", "record-3"];
  const found: string[] = [];
  for (const record of records) if (await decides(service, record)) found.push(record);
  return found;
};

type Status = {
  promoted: boolean;
  candidate?: { policy_set?: string; errors?: { message: string; file: string }[] };
  sets: {
    bundle: string;
    policy_set: string;
    verb: string;
    by: string;
    reason?: string;
    to?: string;
    kept: boolean;
  }[];
};

const asAdmin = (dir: string): Record<string, string> => ({
  authorization: `Bearer ${readFileSync(join(dir, "data/admin.key"), "utf8").trim()}`,
  "content-type": "application/json",
});

const status = async (service: TestService): Promise<Status> => {
  const response = await fetch(`${service.url}/v1/policies`, { headers: asAdmin(service.dir) });
  return (await response.json()) as Status;
};

const ask = async (
  service: TestService,
  verb: string,
  body: object,
): Promise<{ status: number; body: Status & { code?: string; message?: string } }> => {
  const answer = await post(`${service.url}/v1/policies/${verb}`, body, asAdmin(service.dir));
  return { status: answer.status, body: answer.body as never };
};

const filesWith = (policy: string): Record<string, string> => ({
  "policies/fixture.cedar": policy,
  "schemas/fixture.cedarschema": readFileSync(join(fixture, "schemas/fixture.cedarschema"), "utf8"),
});

type Ready = {
  status: string;
  checks: { policy_set: { promoted?: boolean; candidate?: object; digest: string } };
};
const ready = async (service: TestService): Promise<Ready> =>
  (await (await fetch(`${service.url}/readyz`)).json()) as Ready;

test("promoted policies stay in force, through edits and restarts, until the folders are followed again", async () => {
  const dir = project();
  const first = await start(dir);
  first.write("policies/fixture.cedar", only("record-1"));
  await until(async () => (await permitted(first)).join() === "record-1");
  const promoted = await ask(first, "promote", { files: filesWith(only("record-2")), reason: "a trial" });
  expect(promoted.status).toBe(200);
  // In force with the answer.
  expect(await permitted(first)).toEqual(["record-2"]);
  expect(promoted.body).toMatchObject({
    promoted: true,
    sets: [
      { verb: "promote", by: "admin", reason: "a trial", kept: true },
      { verb: "load" },
      { verb: "load" },
    ],
  });
  first.write("policies/fixture.cedar", only("record-3"));
  const before = promoted.body.sets[1]!.policy_set;
  await until(async () => {
    const waiting = (await status(first)).candidate?.policy_set;
    return waiting !== undefined && waiting !== before;
  });
  expect(await permitted(first)).toEqual(["record-2"]);
  expect((await ready(first)).checks.policy_set).toMatchObject({ promoted: true, candidate: {} });
  await stop(first);

  const second = await start(dir);
  expect(await permitted(second)).toEqual(["record-2"]);
  expect((await status(second)).sets).toHaveLength(3);
  const followed = await ask(second, "follow", { reason: "back to files" });
  expect(followed.body).toMatchObject({
    promoted: false,
    sets: [{ verb: "follow", reason: "back to files" }, {}, {}, {}],
  });
  expect(await permitted(second)).toEqual(["record-3"]);
  second.write("policies/fixture.cedar", only("record-1"));
  await until(async () => (await permitted(second)).join() === "record-1");
  expect((await ready(second)).checks.policy_set).not.toHaveProperty("candidate");
});

test("a rollback returns to what was in force before, or to any set by its digest, files and all", async () => {
  const dir = project();
  const service = await start(dir);
  service.write("policies/fixture.cedar", only("record-1"));
  await until(async () => (await permitted(service)).join() === "record-1");
  const loaded = (await status(service)).sets[0]!;
  await ask(service, "promote", { files: filesWith(only("record-2")), reason: "two" });
  const two = (await ask(service, "promote", { files: filesWith(only("record-3")), reason: "three" })).body
    .sets[1]!;
  const back = await ask(service, "rollback", { reason: "three was wrong" });
  expect(back.body.sets[0]).toMatchObject({
    verb: "rollback",
    bundle: two.bundle,
    policy_set: two.policy_set,
  });
  expect(await permitted(service)).toEqual(["record-2"]);
  // By the digest of the policy set too; what the folders held then was kept.
  expect((await ask(service, "rollback", { to: loaded.policy_set, reason: "to the first" })).status).toBe(
    200,
  );
  expect(await permitted(service)).toEqual(["record-1"]);
  const unknown = await ask(service, "rollback", { to: `sha256:${"0".repeat(64)}`, reason: "?" });
  expect([unknown.status, unknown.body.code]).toEqual([404, "not_found"]);
  expect(await permitted(service)).toEqual(["record-1"]);
  const entries = await fetch(`${service.url}/v1/ledger/entries?order=desc&limit=100`, {
    headers: asAdmin(dir),
  });
  const policyEntries = (
    (await entries.json()) as { entries: { kind: string; caller: string; facts: object }[] }
  ).entries.filter(({ kind }) => kind.startsWith("policy."));
  expect(policyEntries.map(({ kind }) => kind)).toEqual([
    "policy.rollback",
    "policy.rollback",
    "policy.promote",
    "policy.promote",
    "policy.load",
    "policy.load",
  ]);
  expect(policyEntries[0]).toMatchObject({
    caller: "admin",
    facts: { bundle: loaded.bundle, policy_set: loaded.policy_set, from_bundle: two.bundle },
  });
});

test.each([
  ["a broken policy", "permit (principal, action, resource)", "policies/fixture.cedar:1:"],
  [
    "a policy that the schema refuses",
    '@id("x") permit (principal is nobody, action, resource);',
    "policies/fixture.cedar:1:",
  ],
])("%s is not promoted: its place is named, and nothing changes", async (_what, policy, place) => {
  const service = await start(project());
  const before = await status(service);
  const answer = await ask(service, "promote", { files: filesWith(policy), reason: "a try" });
  expect([answer.status, answer.body.code]).toEqual([400, "invalid_request"]);
  expect(answer.body.message).toContain(place);
  expect(await status(service)).toEqual(before);
  expect(await decides(service, "record-1")).toBe(true);
  expect((await ready(service)).status).toBe("ready");
});

test("budgets that the ledger contradicts are not promoted, and those beside them not taken in", async () => {
  const dir = project();
  const budget = (id: string, per: string): string =>
    `  - { id: ${id}, unit: requests, limit: 5, per: [${per}], window: { every: day, zone: UTC }, mode: hard }\n`;
  writeFileSync(join(dir, "policies/budgets.yaml"), `budgets:\n${budget("calls", "org")}`);
  const service = await start(dir);
  const policy = readFileSync(join(fixture, "policies/fixture.cedar"), "utf8");
  const promote = (budgets: string): ReturnType<typeof ask> =>
    ask(service, "promote", {
      files: { ...filesWith(policy), "policies/budgets.yaml": budgets },
      reason: "budgets",
    });
  const refused = await promote(`budgets:\n${budget("others", "team")}${budget("calls", "team")}`);
  expect(refused).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  expect(refused.body.message).toContain("the per of `calls` was");
  // `others` is still anybody's to declare.
  expect((await promote(`budgets:\n${budget("others", "org")}${budget("calls", "org")}`)).status).toBe(200);
});

test("only administrators change or see what is in force, and files stay below their folders", async () => {
  const service = await start(project());
  for (const verb of ["promote", "rollback", "follow"]) {
    const answer = await post(`${service.url}/v1/policies/${verb}`, { reason: "x" });
    expect(answer.status).toBe(401);
  }
  expect((await fetch(`${service.url}/v1/policies`)).status).toBe(401);
  for (const path of ["policies/../x.cedar", "/policies/x.cedar", "other/x.cedar", "policies"]) {
    const answer = await ask(service, "promote", { files: { [path]: only("record-1") }, reason: "x" });
    expect(answer).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  }
  expect(await ask(service, "promote", { files: filesWith(only("record-1")) })).toMatchObject({
    status: 400,
  });
});

test("promotions and edits at the same time leave one set in force, the one that the history names last", async () => {
  const service = await start(project());
  const records = ["record-1", "record-2", "record-3"];
  const asked = Array.from({ length: 12 }, (_, n) => {
    service.write("policies/fixture.cedar", only(records[(n + 1) % 3]!));
    return ask(service, "promote", { files: filesWith(only(records[n % 3]!)), reason: `try ${n}` });
  });
  expect((await Promise.all(asked)).map((answer) => answer.status)).toEqual(asked.map(() => 200));
  expect(await permitted(service)).toEqual(["record-3"]);
  const { sets } = await status(service);
  expect(sets[0]!.policy_set).toBe((await ready(service)).checks.policy_set.digest);
  expect(sets.filter(({ verb }) => verb === "promote")).toHaveLength(12);
});

test("an agent that the folder suspends acts no more, though other files are held fast", async () => {
  const dir = tempDir();
  dirs.push(dir);
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  const service = await start(dir);
  const question = {
    subject: { type: "agent", id: "spiffe://example.org/agents/a11y-auditor" },
    action: { name: "read" },
    resource: { type: "website", id: "https://www.acme.example" },
  };
  const decision = async (): Promise<unknown> =>
    (await post(`${service.url}/access/v1/evaluation`, question)).body.decision;
  expect(await decision()).toBe(true);
  const { bundle } = (await status(service)).sets[0]!;
  expect((await ask(service, "rollback", { to: bundle, reason: "hold it fast" })).body.promoted).toBe(true);
  expect(await decision()).toBe(true);
  const agents = readFileSync(join(dir, "policies/entities/agents.yaml"), "utf8");
  service.write(
    "policies/entities/agents.yaml",
    agents.replace(/(- id: .*a11y-auditor)/, "$1\n    status: suspended"),
  );
  await until(async () => (await decision()) === false);
  service.write("policies/entities/agents.yaml", agents);
  await until(async () => (await decision()) === true);
});

const run = promisify(execFile);
const remit = async (cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  run(process.execPath, [join(repository, "dist/cli/main.js"), "policy", ...args], { cwd, env: {} });

test("the command promotes and rolls back, with a service and without one", async () => {
  const dir = project();
  const service = await start(dir);
  cpSync(join(dir, "policies"), join(dir, "candidate"), { recursive: true });
  writeFileSync(join(dir, "candidate/fixture.cedar"), only("record-2"));
  expect((await remit(dir, "promote", "candidate", "--reason", "by command")).stdout).toMatch(
    /^in force: sha256:[0-9a-f]{64}, policy set sha256:/,
  );
  expect(await permitted(service)).toEqual(["record-2"]);
  await stop(service);

  writeFileSync(join(dir, "candidate/fixture.cedar"), only("record-3"));
  await remit(dir, "promote", "candidate", "--reason", "while it was down");
  const again = await start(dir);
  expect(await permitted(again)).toEqual(["record-3"]);
  await stop(again);

  await remit(dir, "rollback", "--reason", "not that");
  expect((await remit(dir, "status")).stdout).toMatch(
    /^promoted: edits wait.*\n(?:.*\n)*.*rollback +admin.*not that\n/,
  );
  const third = await start(dir);
  expect(await permitted(third)).toEqual(["record-2"]);
  await stop(third);

  writeFileSync(join(dir, "candidate/fixture.cedar"), "permit (principal, action, resource)");
  await expect(remit(dir, "promote", "candidate", "--reason", "broken")).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("remit: policies/fixture.cedar:1:"),
  });
  await remit(dir, "follow", "--reason", "files again");
  expect((await remit(dir, "status")).stdout).toMatch(/^followed: edits take effect\n/);
});
