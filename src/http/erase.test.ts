/** What became of permitted actions is told by who asked; and a person can be erased while every proof still verifies. */
import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Server, startServer, textOf } from "../../conformance-tests/postgres.ts";
import {
  repository,
  startTestService,
  type TestOptions,
  type TestService,
} from "../../conformance-tests/service.ts";
import { verify } from "../app-verify.ts";
import { hashKey } from "../identity/key.ts";

const person = "visitor-77@example.org";
const personal = `budgets:
  - id: person-daily-usd
    unit: usd_micros
    limit: 100000
    per: [user]
    for: { action: [invoke] }
    window: { every: day, zone: UTC }
    alerts: [50]
`;
const budgets = readFileSync(join(repository, "policies/budgets.yaml"), "utf8").replace(
  "budgets:\n",
  personal,
);

let service: TestService;
let admin: string;
const keyOf = (name: string): string => `remit_key-of-${name}-0123456789012345678901234567`;

type Sent = { status: number; body: Record<string, unknown>; decision: string };

const send = async (
  path: string,
  body?: unknown,
  key = admin,
  more: Record<string, string> = {},
): Promise<Sent> => {
  const response = await fetch(`${service.url}${path}`, {
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}`, ...more },
  });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    decision: response.headers.get("remit-decision") ?? "",
  };
};

const ask = (
  estimate: number,
  more: { subject?: string; resource?: string; key?: string; trace?: string } = {},
) =>
  send(
    "/access/v1/evaluation",
    {
      subject: { type: "User", id: more.subject ?? person },
      action: { name: "invoke" },
      resource: { type: "Model", id: more.resource ?? "small-1" },
      context: { remit: { run: "run-of-a-person", estimate: { usd_micros: estimate } } },
    },
    keyOf("gateway"),
    {
      ...(more.key === undefined ? {} : { "Idempotency-Key": more.key }),
      ...(more.trace === undefined ? {} : { traceparent: `00-${more.trace}-00f067aa0ba902b7-01` }),
    },
  );

const filesOf = (data: string): string =>
  ["remit.db", "remit.db-wal"]
    .map((name) => join(data, name))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "latin1"))
    .join("");

type Store = {
  name: string;
  open: (options: TestOptions) => Promise<TestService>;
  /** All that it holds. */
  text: () => Promise<string>;
  /** Verifies the log, and compares what is kept beside it. */
  check: () => Promise<void>;
  close: () => Promise<void>;
};

const file: Store = {
  name: "a file",
  open: (options) => startTestService(options),
  text: async () => filesOf(service.config.data),
  check: async () => {
    const checked = await verify(
      { kind: "data", dir: service.config.data },
      {
        keys: [readFileSync(join(service.config.data, "ledger.pub"), "utf8").trim()],
        checkpoints: [],
        anchors: [],
      },
    );
    expect(checked.faults).toEqual([]);
  },
  close: () => service.close(),
};

const database = (): Store => {
  let server: Server;
  let url: string;
  return {
    name: "PostgreSQL",
    open: async (options) => {
      server = await startServer();
      url = await server.create();
      return startTestService({ ...options, settings: { store: url } });
    },
    text: () => textOf(url),
    check: async () => {
      const args = [join(repository, "dist/cli/main.js"), "store", "check"];
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        cwd: service.dir,
        env: { REMIT_STORE: url },
      });
      expect(stdout).toMatch(/^verified: \d+ entries$/m);
    },
    close: async () => {
      await service.close();
      await server.stop();
    },
  };
};

describe.each([file, database()])("in $name:", ({ open, text, check, close }) => {
  beforeAll(async () => {
    const callers = ["gateway", "other"].map(
      (name) => `  - { name: ${name}, key_hash: "${hashKey(keyOf(name))}", scopes: [evaluate, settle] }`,
    );
    service = await open({
      from: repository,
      files: {
        "policies/budgets.yaml": budgets,
        "policies/visitors.cedar":
          '@id("visitors") permit (principal is User, action == Action::"invoke", resource is Model);',
      },
      yaml: `callers:\n${callers.join("\n")}\n`,
    });
    admin = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  });

  afterAll(close);

  const report = (decision: string, outcome: string, key = keyOf("gateway"), more: object = {}) =>
    send("/v1/outcomes", { decision, outcome, ...more }, key);

  test("an outcome is an entry beside its decision, the same one however often it is reported", async () => {
    const { decision } = await ask(10);
    const first = await report(decision, "succeeded", keyOf("gateway"), { detail: "200 OK" });
    expect(first).toMatchObject({
      status: 201,
      body: { outcome: { outcome: "succeeded", duplicate: false } },
    });
    const again = await report(decision, "succeeded", keyOf("gateway"), { detail: "200 OK" });
    expect(again).toMatchObject({ status: 200, body: { outcome: { duplicate: true } } });
    const { index } = first.body["outcome"] as { index: number };
    expect(again.body["outcome"]).toMatchObject({ index });
    const { body } = await send(`/v1/ledger/entries/${decision}`);
    expect(body["related"]).toMatchObject([
      { index, kind: "outcome", of: decision, facts: { outcome: "succeeded" } },
    ]);
    expect((await report(decision, "failed")).status).toBe(409);
  });

  test("only who asked reports the outcome, and only of what was permitted", async () => {
    const { decision } = await ask(10);
    expect((await report(decision, "succeeded", keyOf("other"))).status).toBe(404);
    expect((await report("none", "succeeded")).status).toBe(404);
    const denied = await ask(10_000_000);
    expect(denied.body["decision"]).toBe(false);
    expect((await report(denied.decision, "succeeded")).status).toBe(409);
    expect((await report(decision, "vanished")).status).toBe(400);
    expect((await report(decision, "not_executed", admin)).status).toBe(201);
  });

  const account = async (): Promise<{ account: string; used: number; held: number }[]> =>
    (await send("/v1/budgets/person-daily-usd/accounts")).body["accounts"] as never;

  test("what still names an erased person is told; the person's own entity goes where that is asked", async () => {
    const leaver = "leaver@example.org";
    const put = (type: string, id: string, body: object): Promise<Response> =>
      fetch(`${service.url}/v1/entities/${type}/${id}`, {
        method: "PUT",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${admin}` },
        body: JSON.stringify(body),
      });
    const erased = async (more: object) =>
      (await send("/v1/ledger/erase", { subject: { type: "User", id: leaver }, reason: "left", ...more }))
        .body["erased"] as { remains: object };
    expect((await put("User", leaver, { parents: [{ type: "Team", id: "web" }] })).status).toBe(201);
    const attrs = { clients: [], models: [] };
    const agent = { id: "theirs", owner: leaver, team: "web", purpose: "p", attrs, reason: "r" };
    expect((await send("/v1/agents", agent)).status).toBe(201);
    const { body } = await send("/v1/kill", { target: { owner: leaver }, reason: "r" });
    const kills = [(body["kill"] as { id: string }).id];
    expect((await erased({})).remains).toEqual({ entities: [`User::${leaver}`], agents: ["theirs"], kills });
    expect((await send(`/v1/entities/User/${leaver}`)).status).toBe(200);
    await ask(10, { subject: leaver });
    expect((await erased({ entities: true })).remains).toEqual({ entities: [], agents: ["theirs"], kills });
    expect((await send(`/v1/entities/User/${leaver}`)).status).toBe(404);
    // The entry of taking it out names nobody either.
    const { entries } = (await send("/v1/ledger/entries?kind=entity.delete")).body as {
      entries: { id: string }[];
    };
    const shown = await send(`/v1/ledger/entries/${entries.at(-1)!.id}`);
    expect(shown.body).not.toHaveProperty("detail");
    expect(JSON.stringify(shown.body)).not.toContain(leaver);
    // Of what stands in files too.
    await ask(10, { subject: "owner@example.org" });
    const owner = { subject: { type: "User", id: "owner@example.org" }, reason: "r", entities: true };
    expect((await send("/v1/ledger/erase", owner)).body["erased"]).toMatchObject({
      remains: {
        entities: ["User::owner@example.org"],
        agents: expect.arrayContaining([expect.stringContaining("a11y-auditor")]) as unknown,
      },
    });
  });

  test("an erased person is in no byte of the database, balances stay, and the ledger still verifies", async () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const kept = await ask(10, { subject: "visitor-78@example.org" });
    // More than half of what the person may use: somebody is alerted.
    const used = (await ask(55_000)).body["context"] as { remit: { hold: { id: string } } };
    await send(
      `/v1/holds/${used.remit.hold.id}/settle`,
      { amounts: { usd_micros: 55_000 } },
      keyOf("gateway"),
    );
    expect(await text()).toMatch(/budget\.threshold[^\n]*visitor-77@|visitor-77@[^\n]*budget\.threshold/);
    const held = await ask(20_000, { key: "retry-1", trace });
    expect(held.body["decision"]).toBe(true);
    await send("/v1/budgets/person-daily-usd/grants", {
      account: `user:${person}`,
      amount: 5,
      from: "2026-01-01T00:00:00Z",
      until: "2027-12-31T00:00:00Z",
      reason: `for ${person}`,
    });
    const { id } = (held.body["context"] as { remit: { hold: { id: string } } }).remit.hold;
    const usage = { source: "meter", id: "1", subject: { type: "User", id: person }, action: "invoke" };
    await send("/v1/usage", {
      ...usage,
      resource: { type: "Model", id: "small-1" },
      amounts: { usd_micros: 7 },
    });
    const before = await account();
    const mine = before.find(({ account: name }) => name === `user:${person}`)!;
    expect(mine.used).toBeGreaterThan(0);
    expect(await text()).toContain(person);
    expect(
      (await send("/v1/ledger/erase", { subject: { type: "User", id: "nobody" }, reason: "x" })).status,
    ).toBe(404);
    expect(
      (
        await send(
          "/v1/ledger/erase",
          { subject: { type: "User", id: person }, reason: "x" },
          keyOf("gateway"),
        )
      ).status,
    ).toBe(403);

    const erased = await send("/v1/ledger/erase", {
      subject: { type: "User", id: person },
      reason: "they asked",
    });
    expect(erased).toMatchObject({ status: 200, body: { erased: { accounts: 1 } } });
    expect(await text()).not.toContain(person);
    expect(await text()).not.toContain(trace);
    expect(await text()).toContain("visitor-78@example.org");

    const after = await account();
    const balances = (accounts: typeof before): string[] =>
      accounts.map(({ used, held: open }) => `${used} ${open}`).toSorted();
    expect(balances(after)).toEqual(balances(before));
    const shown = await send(`/v1/ledger/entries/${held.decision}`);
    expect(shown.body).not.toHaveProperty("detail");
    expect((shown.body["entry"] as { subject: { id: string } }).subject.id).toMatch(/^p_/);
    expect((await send(`/v1/ledger/entries/${kept.decision}`)).body).toHaveProperty("detail");
    expect((await send(`/v1/ledger/entries?user=${person}`)).body["entries"]).toEqual([]);
    // What is under way is settled as ever, and whoever comes again is somebody new.
    expect(
      (await send(`/v1/holds/${id}/settle`, { amounts: { usd_micros: 15_000 } }, keyOf("gateway"))).status,
    ).toBe(200);
    expect((await ask(10)).body["decision"]).toBe(true);
    await send("/v1/ledger/checkpoint").catch(() => undefined);
    await check();
    const { entries } = (await send("/v1/ledger/entries?kind=subject.erase")).body as { entries: unknown[] };
    expect(entries.at(-1)).toMatchObject({ kind: "subject.erase", facts: { accounts: 1 } });
  });

  test("a person under a legal hold isn't erased until it is lifted", async () => {
    const sued = "sued@example.org";
    await ask(10, { subject: sued });
    const subject = { type: "User", id: sued };
    const erase = () => send("/v1/ledger/erase", { subject, reason: "asked for" });
    for (const scope of [{ subject: sued }, { all: true }]) {
      const placed = await send("/v1/ledger/legal-holds", { ...scope, reason: "a lawsuit" });
      const { id } = placed.body["legal_hold"] as { id: string };
      expect(await erase()).toMatchObject({
        status: 409,
        body: { message: expect.stringContaining(id) as string },
      });
      expect(await text()).toContain(sued);
      await send(`/v1/ledger/legal-holds/${id}/lift`, { reason: "over" });
    }
    // One of somebody else is in nobody's way.
    await send("/v1/ledger/legal-holds", { subject: "another@example.org", reason: "a lawsuit" });
    // The hold itself says whom it was of.
    expect(await erase()).toMatchObject({ status: 200 });
    await check();
  });

  test("what an erased person delegated stays in force, by nobody that is named", async () => {
    const giver = "giver@example.org";
    await ask(10, { subject: giver });
    const delegator = { type: "User", id: giver };
    const delegate = "spiffe://example.org/agents/a11y-auditor";
    const given = await send("/v1/delegations", { delegator, delegate, reason: "asked for" });
    expect(given.status).toBe(201);
    expect((await send("/v1/ledger/erase", { subject: delegator, reason: "asked for" })).status).toBe(200);
    expect(await text()).not.toContain(giver);
    const listed = (await send(`/v1/delegations?delegate=${encodeURIComponent(delegate)}`)).body[
      "delegations"
    ] as { delegator: { id: string } }[];
    expect(listed.map((each) => each.delegator.id)).toEqual([expect.stringMatching(/^p_/)]);
    await check();
  });
});
