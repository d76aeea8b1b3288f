/** The registry and the kill switch over HTTP: who may act changes with the answer, and stays changed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, tempDir, type TestService, until } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

const schema = `
entity Team;
@remit("user personal") entity User;
@remit("agent") entity Agent in [Team] = { team?: Team, owner?: User, level?: Long };
entity Note;
type Ctx = { remit: Remit::Facts };
action "see", "see-high", "see-team" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
@remit("metered") action "spend" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action in [Action::"see", Action::"spend"], resource);
@id("see-high") permit (principal is Agent, action == Action::"see-high", resource)
when { principal has level && principal.level > 3 };
@id("see-team") permit (principal in Team::"web", action == Action::"see-team", resource);
`;

const budgets = `
budgets:
  - { id: money, unit: usd_micros, limit: 1000000, per: [agent], for: { action: [spend] }, window: lifetime, on_lapse: release }
`;

const agents = `
agents:
  - { id: top, owner: ann, team: web }
  - { id: low, parent: top, owner: ann, team: web }
  - { id: other, owner: bob, team: ops }
  - { id: filed, status: suspended }
`;

let service: TestService;
let admin: string;

const options = {
  files: {
    "schemas/fixture.cedarschema": schema,
    "policies/fixture.cedar": policies,
    "policies/budgets.yaml": budgets,
    "policies/entities/entities.yaml": "[]",
    "policies/entities/agents.yaml": agents,
  },
  yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate, settle, audit], detail: admin }
`,
};

beforeAll(async () => {
  service = await startTestService(options);
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

type Answer = { status: number; body: Record<string, any> };

const send = async (
  method: string,
  path: string,
  body?: unknown,
  { key = admin, headers = {} }: { key?: string; headers?: Record<string, string> } = {},
): Promise<Answer> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, any> };
};

type Asked = { action?: string; user?: string; remit?: object; headers?: Record<string, string> };

const ask = (
  agent: string,
  { action = "see", user, remit = {}, headers = {} }: Asked = {},
): Promise<Answer> =>
  send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: user === undefined ? { type: "Agent", id: agent } : { type: "User", id: user },
      action: { name: action },
      resource: { type: "Note", id: "n" },
      context: { remit, ...(user === undefined ? {} : { agent }) },
    },
    { key: pepKey, headers },
  );

/** `permit`, or the reason of the denial. */
const outcome = async (agent: string, asked?: Asked): Promise<string> => {
  const { body } = await ask(agent, asked);
  if (body["decision"] === true) return "permit";
  return String(Object.values(body["context"].reason_admin)[0]).split(/[:;]/)[0]!;
};

const pathOf = (id: string): string => `/v1/agents/${encodeURIComponent(id)}`;
const say = (id: string, verb: string, more: object = {}): Promise<Answer> =>
  send("POST", `${pathOf(id)}/${verb}`, { reason: `to ${verb}`, ...more });
const kill = async (target: object, more: object = {}): Promise<string> => {
  const answer = await send("POST", "/v1/kill", { target, reason: "stop", ...more });
  expect(answer.status).toBe(201);
  return answer.body["kill"].id;
};
const lift = (id: string): Promise<Answer> => send("POST", `/v1/kill/${id}/lift`, { reason: "fine again" });

const register = async (agent: object): Promise<Answer> => send("POST", "/v1/agents", agent);

let n = 0;
const fresh = (): string => `urn:agent:${++n}`;

const kindsOf = async (agent: string): Promise<string[]> => {
  const { body } = await send("GET", `/v1/ledger/entries?agent=${encodeURIComponent(agent)}&limit=1000`);
  return body["entries"].map(({ kind }: any) => kind).filter((kind: string) => kind !== "decision");
};

describe("an agent registered at run time", () => {
  test("acts from the answer on, as what it is registered as, and no request says otherwise", async () => {
    const id = fresh();
    expect(await outcome(id)).toBe("agent_unknown");
    const made = await register({ id, owner: "ann", team: "web", attrs: { level: 4 }, reason: "needed" });
    expect(made).toMatchObject({
      status: 201,
      body: {
        agent: {
          id,
          type: "Agent",
          status: "active",
          source: "store",
          status_reason: "needed",
          status_by: "admin",
        },
      },
    });
    expect(await outcome(id)).toBe("permit");
    expect(await outcome(id, { action: "see-high" })).toBe("permit");
    expect(await outcome(id, { action: "see-team" })).toBe("permit");
    await send("PATCH", pathOf(id), { attrs: { level: 1 }, team: null });
    expect(await outcome(id, { action: "see-high" })).toBe("no_permit");
    expect(await outcome(id, { action: "see-team" })).toBe("no_permit");
    const { body } = await send(
      "POST",
      "/access/v1/evaluation",
      {
        subject: { type: "Agent", id, properties: { level: 9 } },
        action: { name: "see-high" },
        resource: { type: "Note", id: "n" },
      },
      { key: pepKey },
    );
    expect(body["decision"]).toBe(false);
    expect(await kindsOf(id)).toEqual(["agent.register", "agent.change"]);
  });

  test("is asked for, let in, suspended, let in again and revoked for good, each with reason, person and entry", async () => {
    const id = fresh();
    await register({ id, status: "requested" });
    expect(await outcome(id)).toBe("agent_unknown");
    expect((await say(id, "activate")).body["agent"]).toMatchObject({
      status: "active",
      status_reason: "to activate",
    });
    expect(await outcome(id)).toBe("permit");
    await say(id, "suspend");
    expect(await outcome(id)).toBe("agent_suspended");
    await say(id, "activate");
    expect(await outcome(id)).toBe("permit");
    await say(id, "revoke");
    expect(await outcome(id)).toBe("agent_revoked");
    expect(await say(id, "activate")).toMatchObject({ status: 409, body: { code: "conflict" } });
    expect(await say(id, "suspend")).toMatchObject({ status: 409 });
    expect(await outcome(id)).toBe("agent_revoked");
    expect(await kindsOf(id)).toEqual([
      "agent.register",
      "agent.activate",
      "agent.suspend",
      "agent.activate",
      "agent.revoke",
    ]);
    expect((await send("POST", `${pathOf(id)}/suspend`, {})).status).toBe(400);
  });

  test("ends when it expires, also where it is made to expire later on", async () => {
    const id = fresh();
    await register({ id });
    expect(await outcome(id)).toBe("permit");
    await send("PATCH", pathOf(id), { expires_at: "2020-01-01T00:00:00Z" });
    expect(await outcome(id)).toBe("agent_expired");
  });

  test("can do no more than its parent, and no less is known of it than the schema asks for", async () => {
    const id = fresh();
    await register({ id, parent: "top", attrs: { level: 9 } });
    expect(await outcome(id, { action: "see-high" })).toBe("delegation_denied");
    expect(await register({ id: fresh(), parent: "nobody" })).toMatchObject({
      status: 400,
      body: { field: "parent" },
    });
    expect(await register({ id: fresh(), attrs: { level: "high" } })).toMatchObject({ status: 400 });
    expect(await register({ id: fresh(), attrs: { unheard: 1 } })).toMatchObject({ status: 400 });
    expect(await register({ id })).toMatchObject({ status: 409, body: { field: "id" } });
    expect(await register({ id: "top" })).toMatchObject({ status: 409, body: { field: "id" } });
    expect(await register({ id: fresh(), type: "User" })).toMatchObject({
      status: 400,
      body: { field: "type" },
    });
  });

  test("is recognised by what no other agent is recognised by", async () => {
    const id = fresh();
    const recognised_by = [{ issuer: "https://as.example", client_id: "one-client" }];
    await register({ id, recognised_by });
    expect(await outcome("one-client")).toBe("permit");
    expect(await register({ id: fresh(), recognised_by })).toMatchObject({
      status: 409,
      body: { field: "recognised_by" },
    });
  });

  test("is listed with those of the file, by status, owner and team, page by page", async () => {
    const owner = `owner-${fresh()}`;
    const ids = [fresh(), fresh(), fresh()].sort();
    for (const id of ids) await register({ id, owner });
    await say(ids[1]!, "suspend");
    const list = async (query: string): Promise<string[]> =>
      (await send("GET", `/v1/agents?${query}`, undefined, { key: pepKey })).body["agents"].map(
        ({ id }: any) => id,
      );
    const of = `owner=${encodeURIComponent(owner)}`;
    expect(await list(of)).toEqual(ids);
    expect(await list(`${of}&status=suspended`)).toEqual([ids[1]]);
    expect(await list(`${of}&limit=2`)).toEqual(ids.slice(0, 2));
    expect(await list(`${of}&limit=2&cursor=${encodeURIComponent(ids[1]!)}`)).toEqual([ids[2]]);
    expect(await list("team=ops")).toEqual(["other"]);
    expect((await send("POST", "/v1/agents", { id: fresh() }, { key: pepKey })).status).toBe(403);
  });
});

test("changes that cross never undo one another: one is a conflict", async () => {
  const id = fresh();
  await register({ id });
  const fields = ["name", "purpose", "model", "org"];
  const answers = await Promise.all(fields.map((field) => send("PATCH", pathOf(id), { [field]: "x" })));
  const { agent } = (await send("GET", pathOf(id))).body;
  for (const [position, { status }] of answers.entries()) {
    expect([200, 409]).toContain(status);
    expect(agent[fields[position]!]).toBe(status === 200 ? "x" : undefined);
  }
});

describe("an agent of the file", () => {
  test("is suspended and let in again at run time, and changed in the file alone", async () => {
    await say("other", "suspend");
    expect(await outcome("other")).toBe("agent_suspended");
    await say("other", "activate");
    expect(await outcome("other")).toBe("permit");
    expect(await send("PATCH", pathOf("other"), { name: "x" })).toMatchObject({ status: 409 });
  });

  test("that the file suspends is not let in at run time: neither raises what the other says", async () => {
    expect(await outcome("filed")).toBe("agent_suspended");
    expect(await say("filed", "activate")).toMatchObject({ status: 409, body: { field: "status" } });
    expect(await outcome("filed")).toBe("agent_suspended");
  });

  test("stays suspended whatever an edit of the file says, and after a restart", async () => {
    const own = await startTestService({ ...options, dir: tempDir() });
    const outer = service;
    const outerAdmin = admin;
    try {
      service = own;
      admin = readFileSync(join(own.dir, "data/admin.key"), "utf8").trim();
      await say("top", "suspend");
      const killed = await kill({ agent: "other" });
      const late = fresh();
      await register({ id: late, owner: "ann" });
      own.write("policies/entities/agents.yaml", `${agents}  - { id: newcomer, parent: top }\n`);
      await until(async () => (await outcome("newcomer")) !== "agent_unknown");
      expect(await outcome("newcomer")).toBe("agent_suspended");
      expect(await outcome("low")).toBe("agent_suspended");
      await own.close();
      service = await startTestService({ dir: own.dir, yaml: options.yaml });
      expect(await outcome("top")).toBe("agent_suspended");
      expect(await outcome("low")).toBe("agent_suspended");
      expect(await outcome("other")).toBe("agent_suspended");
      expect(await outcome(late)).toBe("permit");
      await lift(killed);
      expect(await outcome("other")).toBe("permit");
      await service.close();
    } finally {
      service = outer;
      admin = outerAdmin;
    }
  });
});

describe("the kill switch", () => {
  test.each([
    ["an agent and those below it", { agent: "top" }, ["top", "low"], ["other"]],
    ["what belongs to an owner", { owner: "ann" }, ["top", "low"], ["other"]],
    ["what belongs to a team", { team: "ops" }, ["other"], ["top"]],
    ["all agents", { all: true }, ["top", "low", "other"], []],
  ])("stops %s until it is lifted, whoever they act for", async (_what, target, stopped, spared) => {
    const id = await kill(target);
    for (const agent of stopped) {
      expect(await outcome(agent)).toBe("agent_suspended");
      expect(await outcome(agent, { user: "carl" })).toBe("agent_suspended");
    }
    for (const agent of spared) expect(await outcome(agent)).toBe("permit");
    const { body } = await send("GET", pathOf(stopped[0]!));
    expect(body["agent"]).toMatchObject({ status: "active", stopped_by: [id] });
    expect((await lift(id)).body["kill"]).toMatchObject({
      id,
      lifted_by: "admin",
      lift_reason: "fine again",
    });
    for (const agent of stopped) expect(await outcome(agent)).toBe("permit");
    expect((await lift(id)).status).toBe(409);
  });

  test("stops those who come after it", async () => {
    const owner = `owner-${fresh()}`;
    const later = fresh();
    const ids = [await kill({ owner }), await kill({ agent: later })];
    const another = fresh();
    await register({ id: later });
    await register({ id: another, owner });
    expect(await outcome(later)).toBe("agent_suspended");
    expect(await outcome(another)).toBe("agent_suspended");
    for (const id of ids) await lift(id);
    const aliased = fresh();
    await register({ id: aliased, recognised_by: [{ spiffe_id: "spiffe://example.org/aliased" }] });
    const byAlias = await kill({ agent: "spiffe://example.org/aliased" });
    expect(await outcome(aliased)).toBe("agent_suspended");
    await lift(byAlias);
    expect([await outcome(later), await outcome(another)]).toEqual(["permit", "permit"]);
  });

  test("stops a run and those below it, those too that are new", async () => {
    const [run, below, last] = [fresh(), fresh(), fresh()];
    expect(await outcome("top", { remit: { run } })).toBe("permit");
    expect(await outcome("top", { remit: { run: below, parent_run: run } })).toBe("permit");
    await kill({ run });
    expect(await outcome("top", { remit: { run } })).toBe("agent_suspended");
    expect(await outcome("top", { remit: { run: below } })).toBe("agent_suspended");
    expect(await outcome("top", { remit: { run: last, parent_run: below } })).toBe("agent_suspended");
    expect(await outcome("top", { remit: { run: fresh() } })).toBe("permit");
  });

  test("revokes for good: lifting it revives nobody who was there", async () => {
    const owner = `owner-${fresh()}`;
    const [there, later] = [fresh(), fresh()];
    await register({ id: there, owner });
    const id = await kill({ owner }, { action: "revoke" });
    await register({ id: later, owner });
    expect([await outcome(there), await outcome(later)]).toEqual(["agent_revoked", "agent_revoked"]);
    await lift(id);
    expect([await outcome(there), await outcome(later)]).toEqual(["agent_revoked", "permit"]);
    expect(await kindsOf(there)).toEqual(["agent.register", "agent.revoke"]);
  });

  test("asks for one target and a reason, of an administrator", async () => {
    for (const body of [
      { target: {}, reason: "r" },
      { target: { agent: "top", all: true }, reason: "r" },
      { target: { all: false }, reason: "r" },
      { target: { agent: "top" } },
    ])
      expect((await send("POST", "/v1/kill", body)).status).toBe(400);
    const asPep = await send("POST", "/v1/kill", { target: { all: true }, reason: "r" }, { key: pepKey });
    expect(asPep.status).toBe(403);
    expect((await lift("nothing")).status).toBe(404);
    expect(await outcome("top")).toBe("permit");
  });

  test("lets no idempotency key answer for what was stopped", async () => {
    const headers = { "idempotency-key": fresh() };
    const spending = { action: "spend", remit: { estimate: { usd_micros: 10 } }, headers };
    expect(await outcome("top", spending)).toBe("permit");
    expect(await outcome("top", spending)).toBe("permit");
    const id = await kill({ team: "web" });
    expect(await outcome("top", spending)).toBe("agent_suspended");
    await lift(id);
  });
});

const holdOf = async (agent: string, remit: object = {}): Promise<string> => {
  const { body } = await ask(agent, { action: "spend", remit: { estimate: { usd_micros: 10 }, ...remit } });
  return body["context"].remit.hold.id;
};

const change = (hold: string, verb: string, body: object): Promise<Answer> =>
  send("POST", `/v1/holds/${hold}/${verb}`, body, { key: pepKey });

const balance = async (agent: string): Promise<{ used: number; held: number }> => {
  const { body } = await send("GET", "/v1/budgets/money/accounts");
  const account = body["accounts"].find((each: any) => each.account === `agent:${agent}`);
  return { used: account?.used ?? 0, held: account?.held ?? 0 };
};

describe("the open holds of what is stopped", () => {
  test("are released where that is asked for, those of other agents are not", async () => {
    const agent = fresh();
    await register({ id: agent });
    const hold = await holdOf(agent);
    const bystander = await holdOf("other");
    expect(await balance(agent)).toEqual({ used: 0, held: 10 });
    await say(agent, "suspend", { holds: "release" });
    expect(await balance(agent)).toEqual({ used: 0, held: 0 });
    // What was consumed all the same is reported as usage.
    expect((await change(hold, "settle", { amounts: { usd_micros: 7 } })).status).toBe(409);
    expect((await change(bystander, "release", {})).body["hold"].state).toBe("released");
  });

  test("are frozen else: settled by their caller, never extended", async () => {
    const agent = fresh();
    await register({ id: agent });
    const [hold, another] = [await holdOf(agent), await holdOf(agent)];
    const id = await kill({ agent });
    expect(await change(hold, "extend", { ttl_seconds: 60 })).toMatchObject({
      status: 409,
      body: { code: "conflict" },
    });
    await lift(id);
    expect((await change(hold, "extend", { ttl_seconds: 60 })).status).toBe(409);
    expect((await change(hold, "settle", { amounts: { usd_micros: 7 } })).body["hold"].state).toBe("settled");
    expect((await change(another, "settle", { amounts: { usd_micros: 3 } })).body["hold"].state).toBe(
      "settled",
    );
    expect(await balance(agent)).toEqual({ used: 10, held: 0 });
  });

  test("charge when they lapse frozen, where a lapse would have given back", async () => {
    const agent = fresh();
    await register({ id: agent });
    await holdOf(agent, { ttl_seconds: 1 });
    await kill({ agent });
    const free = fresh();
    await register({ id: free });
    await holdOf(free, { ttl_seconds: 1 });
    await until(async () => (await balance(agent)).held === 0 && (await balance(free)).held === 0);
    expect(await balance(agent)).toEqual({ used: 10, held: 0 });
    expect(await balance(free)).toEqual({ used: 0, held: 0 });
  });

  test("of a run end with it, and with the runs below it", async () => {
    const [run, below] = [fresh(), fresh()];
    const agent = fresh();
    await register({ id: agent });
    await holdOf(agent, { run });
    await holdOf(agent, { run: below, parent_run: run });
    await holdOf(agent, { run: fresh() });
    await kill({ run }, { holds: "release" });
    expect(await balance(agent)).toEqual({ used: 0, held: 10 });
  });
});
