/** Agents over HTTP: what they are recognised by, and what becomes of questions when that is taken away. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const run = promisify(execFile);
const keyOf = (name: string): string => `remit_key-of-${name}-0123456789012345678901234567`;

const schema = `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Note;
type Ctx = { remit: Remit::Facts };
action "see", "see-as-recognised" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action == Action::"see", resource);
@id("recognised") permit (principal, action == Action::"see-as-recognised", resource)
when { context.remit.assurance == "bearer" };
`;

const agents = `
agents:
  - { id: "spiffe://example.org/a b/100%25" }
  - { id: other }
  - { id: barred, status: suspended }
`;

const odd = "spiffe://example.org/a b/100%25";

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": agents,
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(keyOf("pep"))}", scopes: [evaluate], detail: admin }
  - { name: narrow, key_hash: "${hashKey(keyOf("narrow"))}", scopes: [evaluate], agents: [other] }
  - { name: auditor, key_hash: "${hashKey(keyOf("auditor"))}", scopes: [audit] }
`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

type Answer = { status: number; body: Record<string, any>; text: string };

const send = async (
  method: string,
  path: string,
  body?: unknown,
  key: string = keyOf("pep"),
  headers: Record<string, string> = {},
): Promise<Answer> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text), text };
};

const keysPath = (agent: string): string => `/v1/agents/${encodeURIComponent(agent)}/keys`;

const newKey = async (agent: string, body: unknown = {}): Promise<{ id: string; key: string }> => {
  const made = await send("POST", keysPath(agent), body, admin);
  expect(made.status).toBe(201);
  return { id: made.body["id"], key: made.body["key"] };
};

const revoke = (agent: string, id: string): Promise<Answer> =>
  send("DELETE", `${keysPath(agent)}/${id}`, undefined, admin);

const recognise = (key: string, as?: string): Promise<Answer> =>
  send("POST", "/v1/agents/recognise", { key }, as);

const ask = (
  agent: string,
  key: string | undefined,
  { action = "see", remit = {}, headers = {} }: { action?: string; remit?: object; headers?: any } = {},
): Promise<Answer> =>
  send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "Agent", id: agent },
      action: { name: action },
      resource: { type: "Note", id: "n" },
      context: { remit: { ...remit, ...(key === undefined ? {} : { tokens: { agent: key } }) } },
    },
    undefined,
    headers,
  );

const outcome = ({ body }: Answer): string =>
  body["decision"] === true ? "permit" : (Object.values(body["context"].reason_admin)[0] as string);

const entries = async (agent: string): Promise<any[]> => {
  const { body } = await send(
    "GET",
    `/v1/ledger/entries?agent=${encodeURIComponent(agent)}&limit=1000`,
    undefined,
    keyOf("auditor"),
  );
  return body["entries"];
};

/** Of another process: reading and closing the files in this one would let go of SQLite's locks on them. */
const filesHolding = async (text: string): Promise<string[]> => {
  const found = await run("grep", ["-rlaF", "-e", text, join(service.dir, "data")]).catch(
    ({ code, stdout }: { code: number; stdout: string }) => {
      expect(code).toBe(1);
      return { stdout };
    },
  );
  return found.stdout.split("\n").filter((line) => line !== "");
};

describe("a key of an agent", () => {
  test("recognises it, whatever its id looks like, until the key is revoked", async () => {
    const { id, key } = await newKey(odd, { name: "ci" });
    expect(key).toMatch(/^remit_agent_[\w-]{43}$/);
    expect((await recognise(key)).body).toEqual({ agent: { type: "Agent", id: odd, status: "active" } });
    expect((await revoke(odd, id)).body).toMatchObject({ id, agent: odd, revoked_by: "admin" });
    expect((await recognise(key)).status).toBe(404);
    expect((await recognise(key)).body).toMatchObject({ code: "not_found", field: "key" });
  });

  test("makes the assurance `bearer`; without it the caller only asserts who acts", async () => {
    const { key } = await newKey("other");
    expect(outcome(await ask("other", key, { action: "see-as-recognised" }))).toBe("permit");
    expect(outcome(await ask("other", undefined, { action: "see-as-recognised" }))).toContain("no_permit");
  });

  test("denies the question of every agent but its own", async () => {
    const { key } = await newKey("other");
    expect(outcome(await ask(odd, key))).toContain("identity_mismatch");
    expect(outcome(await ask(odd, undefined))).toBe("permit");
    const forUser = await send("POST", "/access/v1/evaluation", {
      subject: { type: "User", id: "u" },
      action: { name: "see" },
      resource: { type: "Note", id: "n" },
      context: { remit: { tokens: { agent: key } } },
    });
    expect(outcome(forUser)).toContain("identity_mismatch");
  });

  test("that nobody has, or that is revoked, denies from the next question on", async () => {
    expect(outcome(await ask("other", `remit_agent_${"x".repeat(43)}`))).toContain("identity_mismatch");
    const { id, key } = await newKey("other");
    expect(outcome(await ask("other", key))).toBe("permit");
    await revoke("other", id);
    expect(outcome(await ask("other", key))).toContain("identity_mismatch");
  });

  test("ends at its time, and is never made for the past", async () => {
    const { key: later } = await newKey("other", { expires_at: "2099-01-01T00:00:00Z" });
    expect(outcome(await ask("other", later))).toBe("permit");
    const { key } = await newKey("other", { expires_at: new Date(Date.now() + 500).toISOString() });
    await until(async () => (await recognise(key)).status === 404);
    expect(outcome(await ask("other", key))).toContain("token_expired");
    const past = await send("POST", keysPath("other"), { expires_at: "2020-01-01T00:00:00Z" }, admin);
    expect(past).toMatchObject({ status: 400, body: { field: "expires_at" } });
    const never = await send("POST", keysPath("other"), { expires_at: "2999-01-01T00:00:00Z" }, admin);
    expect(never).toMatchObject({ status: 400, body: { field: "expires_at" } });
  });

  test("of a suspended agent recognises it, and permits it nothing", async () => {
    const { key } = await newKey("barred");
    expect((await recognise(key)).body["agent"]).toMatchObject({ id: "barred", status: "suspended" });
    expect(outcome(await ask("barred", key))).toContain("agent_suspended");
  });

  test("doesn't answer for itself by a retry: what was permitted with it is denied once it is revoked", async () => {
    const { id, key } = await newKey("other");
    const headers = { "idempotency-key": "retry-1" };
    expect(outcome(await ask("other", key, { headers }))).toBe("permit");
    const { key: another } = await newKey("other");
    // The key is no part of what is asked: another one of the same agent is the same question.
    expect(outcome(await ask("other", another, { headers }))).toBe("permit");
    await revoke("other", id);
    expect(outcome(await ask("other", key, { headers }))).toContain("identity_mismatch");
  });

  test("is in no file of the data directory, and every change of it is an entry of the agent", async () => {
    const { id, key } = await newKey("other", { name: "kept nowhere" });
    await ask("other", key, { headers: { "idempotency-key": "leak" } });
    const batch = await send("POST", "/access/v1/evaluations", {
      subject: { type: "Agent", id: "other" },
      resource: { type: "Note", id: "n" },
      context: { remit: { tokens: { agent: key } } },
      evaluations: [{ action: { name: "see" } }, { action: { name: "see" } }],
    });
    expect(batch.body["evaluations"]).toMatchObject([{ decision: true }, { decision: true }]);
    const rejected = await ask("other", `${key}!`);
    expect(rejected).toMatchObject({ status: 400, body: { field: "context.remit.tokens.agent" } });
    expect(rejected.text).not.toContain(key);
    await revoke("other", id);
    await revoke("other", id);
    const changes = (await entries("other")).filter(({ facts }) => facts?.key === id);
    expect(changes.map(({ kind, caller }) => [kind, caller])).toEqual([
      ["agent.key.add", "admin"],
      ["agent.key.revoke", "admin"],
    ]);
    expect(await filesHolding("kept nowhere")).not.toEqual([]);
    expect(await filesHolding(key.slice("remit_agent_".length))).toEqual([]);
  });

  test("is made, listed and revoked by administrators alone, for registered agents alone", async () => {
    const { id, key } = await newKey("other", { name: "listed" });
    const list = await send("GET", keysPath("other"), undefined, admin);
    expect(list.body["keys"].at(-1)).toMatchObject({
      id,
      agent: "other",
      name: "listed",
      created_by: "admin",
    });
    expect(list.text).not.toContain(key);
    expect(list.text).not.toContain(hashKey(key).slice(7));
    expect((await send("GET", keysPath("other"))).status).toBe(403);
    expect((await send("POST", keysPath("other"), {})).status).toBe(403);
    expect((await send("DELETE", `${keysPath("other")}/${id}`)).status).toBe(403);
    expect((await send("POST", keysPath("nobody"), {}, admin)).status).toBe(404);
    // Another agent's key is not this one's to revoke.
    expect((await revoke("barred", id)).status).toBe(404);
    expect((await recognise(key)).status).toBe(200);
  });

  test("tells a caller nothing of agents that it may not name", async () => {
    const { key } = await newKey(odd);
    expect((await recognise(key, keyOf("narrow"))).status).toBe(404);
    expect((await recognise((await newKey("other")).key, keyOf("narrow"))).status).toBe(200);
    expect((await recognise(key, keyOf("auditor"))).status).toBe(403);
  });
});

test("`remit agent key` prints a key that works, once, and `remit agent revoke-key` ends it", async () => {
  const main = join(repository, "dist/cli/main.js");
  const remit = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    run(process.execPath, [main, ...args, "--data", join(service.dir, "data")], { cwd: tempDir() });
  const made = await remit("agent", "key", odd, "--name", "from the shell", "--expires", "2099-01-01");
  const key = made.stdout.trim();
  expect((await recognise(key)).status).toBe(200);
  const listed = await remit("agent", "keys", odd, "--format", "json");
  const shown = JSON.parse(listed.stdout).find((each: any) => each.name === "from the shell");
  expect(shown).toMatchObject({ expires_at: "2099-01-01T00:00:00.000Z" });
  expect(listed.stdout).not.toContain(key);
  await remit("agent", "revoke-key", odd, shown.id);
  expect((await recognise(key)).status).toBe(404);
});
