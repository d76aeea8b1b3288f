/** Ways around what was stopped, over HTTP: names, top-ups, keys and retries that outlive the word that stops them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, type TestService, until } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

const schema = `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Note;
type Ctx = { remit: Remit::Facts };
action "see", "touch" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
@remit("metered") action "spend", "spend-as-recognised" appliesTo { principal: [User, Agent], resource: [Note], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action in [Action::"see", Action::"spend"], resource);
@id("recognised") permit (principal, action == Action::"spend-as-recognised", resource)
when { context.remit.assurance == "bearer" };
`;

const budgets = `
budgets:
  - { id: money, unit: usd_micros, limit: 1000000, per: [agent], for: { action: [spend, spend-as-recognised] }, window: lifetime }
containment: { denials: 3, within: 10m }
`;

const by = (issuer: string): string => `[{ issuer: "https://${issuer}.example", client_id: shared }]`;
const agents = `agents:
  - { id: top }
  - { id: low, parent: top }
  - { id: contained }
  - { id: one, recognised_by: ${by("one")} }
  - { id: two, recognised_by: ${by("two")} }
  - { id: bound, recognised_by: [{ jkt: thumb }] }
  - { id: namesake, recognised_by: [{ issuer: "https://one.example", client_id: gone }] }
`;

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/budgets.yaml": budgets,
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": `${agents}  - { id: gone }\n`,
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate, settle], detail: admin }
`,
  });
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

type Asked = { action?: string; remit?: object; headers?: Record<string, string> };

const ask = (agent: string, { action = "see", remit = {}, headers = {} }: Asked = {}): Promise<Answer> =>
  send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "Agent", id: agent },
      action: { name: action },
      resource: { type: "Note", id: "n" },
      context: { remit },
    },
    { key: pepKey, headers },
  );

/** `permit`, or the reason of the denial. */
const outcome = async (agent: string, asked?: Asked): Promise<string> => {
  const { body } = await ask(agent, asked);
  if (body["decision"] === true) return "permit";
  return String(Object.values(body["context"].reason_admin)[0]).split(/[:;]/)[0]!;
};

const admit = async (path: string, body: object): Promise<Answer> => {
  const answer = await send("POST", path, body);
  expect(answer.status).toBeLessThan(300);
  return answer;
};

const kill = async (target: object): Promise<string> =>
  (await admit("/v1/kill", { target, reason: "stop" })).body["kill"].id;
const lift = (id: string): Promise<Answer> => admit(`/v1/kill/${id}/lift`, { reason: "fine again" });

const holdOf = async (agent: string, remit: object = {}): Promise<string> => {
  const { body } = await ask(agent, { action: "spend", remit: { estimate: { usd_micros: 10 }, ...remit } });
  return body["context"].remit.hold.id;
};

const extend = async (hold: string, amounts: object = {}): Promise<number> => {
  const body = { ttl_seconds: 60, amounts };
  return (await send("POST", `/v1/holds/${hold}/extend`, body, { key: pepKey })).status;
};

const keyFor = async (agent: string): Promise<string> =>
  (await admit(`/v1/agents/${encodeURIComponent(agent)}/keys`, {})).body["key"];

const statusBy = async (key: string): Promise<string> => {
  const { body } = await send("POST", "/v1/agents/recognise", { key }, { key: pepKey });
  return body["agent"]?.status ?? body["code"];
};

describe("a hold of an agent that may act no longer", () => {
  test("that a rule stopped lives on, and is topped up no more", async () => {
    const hold = await holdOf("contained");
    expect(await extend(hold, { usd_micros: 5 })).toBe(200);
    for (let n = 0; n < 3; n++) await ask("contained", { action: "touch" });
    expect(await outcome("contained")).toBe("agent_suspended");
    expect(await extend(hold, { usd_micros: 5 })).toBe(409);
    expect(await extend(hold)).toBe(200);
  });

  test("that has expired is topped up no more, nor is one below it", async () => {
    await admit("/v1/agents", { id: "brief" });
    await admit("/v1/agents", { id: "below-brief", parent: "brief" });
    const holds = [await holdOf("brief"), await holdOf("below-brief")];
    for (const hold of holds) expect(await extend(hold, { usd_micros: 5 })).toBe(200);
    await send("PATCH", "/v1/agents/brief", { expires_at: "2020-01-01T00:00:00Z" });
    for (const hold of holds) expect(await extend(hold, { usd_micros: 5 })).toBe(409);
  });
});

describe("a hold of an agent that the file stops", () => {
  const inFile = (text: string): void => service.write("policies/entities/agents.yaml", text);
  const without = `${agents}  - { id: gone }\n`;
  const more = { usd_micros: 5 };

  test.each([
    ["itself", "low", without.replace("{ id: low,", "{ id: low, status: suspended,")],
    ["by its parent", "low", without.replace("{ id: top }", "{ id: top, status: revoked }")],
    ["by its end", "two", without.replace("{ id: two,", '{ id: two, expires_at: "2020-01-01T00:00:00Z",')],
    ["by leaving it out", "two", without.replace(/.*id: two.*\n/, "")],
    [
      "by a parent that it gets",
      "two",
      without.replace("{ id: two,", "{ id: two, parent: new,") + "  - { id: new, status: suspended }\n",
    ],
  ])("%s is topped up no more, and lives on", async (_how, agent, text) => {
    const hold = await holdOf(agent);
    expect(await extend(hold, more)).toBe(200);
    inFile(text);
    await until(async () => (await outcome(agent)) !== "permit");
    expect(await extend(hold, more)).toBe(409);
    expect(await extend(hold)).toBe(200);
    inFile(without);
    await until(async () => (await outcome(agent)) === "permit");
    expect(await extend(hold, more)).toBe(200);
  });
});

describe("a kill", () => {
  test("by a name that two agents have stops neither, and says so", async () => {
    const answer = await send("POST", "/v1/kill", { target: { agent: "shared" }, reason: "stop" });
    expect(answer).toMatchObject({ status: 409, body: { code: "conflict", field: "target.agent" } });
    expect(answer.body["message"]).toMatch(/`one`.*`two`/);
  });

  test("by the thumbprint of its key stops the agent", async () => {
    const id = await kill({ agent: "thumb" });
    expect(await outcome("bound")).toBe("agent_suspended");
    await lift(id);
  });
});

describe("a key tells of the agent that it recognises", () => {
  test("whether it may act: kills, those of its parent and its parent's status count", async () => {
    const key = await keyFor("low");
    expect(await statusBy(key)).toBe("active");
    for (const target of [{ agent: "low" }, { agent: "top" }, { all: true }]) {
      const id = await kill(target);
      expect(await statusBy(key)).toBe("suspended");
      await lift(id);
      expect(await statusBy(key)).toBe("active");
    }
    await admit("/v1/agents/top/suspend", { reason: "stop" });
    expect(await statusBy(key)).toBe("suspended");
    await admit("/v1/agents/top/activate", { reason: "fine again" });
    expect(await statusBy(key)).toBe("active");
  });

  test("that is one of its own: a retry without the key, or with another agent's, is not answered for it", async () => {
    const [key, headers] = [await keyFor("top"), { "idempotency-key": "surely" }];
    const asked = { action: "spend-as-recognised", headers };
    const remit = { estimate: { usd_micros: 10 } };
    const wrong = { ...remit, tokens: { agent: `remit_agent_${"x".repeat(43)}` } };
    expect(await outcome("top", { ...asked, remit: wrong })).toBe("identity_mismatch");
    expect(await outcome("top", { ...asked, remit: { ...remit, tokens: { agent: key } } })).toBe("permit");
    const bare = await ask("top", { ...asked, remit });
    expect(bare).toMatchObject({ status: 422, body: { code: "idempotency_mismatch" } });
    const others = await keyFor("one");
    const foreign = { ...remit, tokens: { agent: others } };
    expect(await outcome("top", { ...asked, remit: foreign })).toBe("identity_mismatch");
    expect(await outcome("top", { ...asked, remit: { ...remit, tokens: { agent: key } } })).toBe("permit");
  });

  test("but not of one that is called as it was called, nor does a word on it let in who asks for its id", async () => {
    const key = await keyFor("gone");
    await admit("/v1/agents/gone/suspend", { reason: "stop" });
    await admit("/v1/agents/gone/activate", { reason: "fine again" });
    expect(await statusBy(key)).toBe("active");
    service.write("policies/entities/agents.yaml", agents);
    await until(async () => (await statusBy(key)) === "not_found");
    await admit("/v1/agents", { id: "gone", status: "requested" });
    expect(await outcome("gone")).toBe("agent_unknown");
    expect(await statusBy(key)).toBe("requested");
  });
});

test("a unit that every object has a member of is none, and breaks nothing for those who ask beside it", async () => {
  const unit = { constructor: 1 };
  const hold = await holdOf("one");
  const evaluation = {
    subject: { type: "Agent", id: "one" },
    action: { name: "spend" },
    resource: { type: "Note", id: "n" },
    context: { remit: { estimate: unit } },
  };
  for (const [path, body] of [
    ["/access/v1/evaluation", evaluation],
    [`/v1/holds/${hold}/extend`, { ttl_seconds: 60, amounts: unit }],
    [`/v1/holds/${hold}/settle`, { amounts: unit }],
    ["/v1/usage", { source: "s", id: "i", subject: { type: "Agent", id: "one" }, amounts: unit }],
  ] as const) {
    const [answer, beside] = await Promise.all([send("POST", path, body, { key: pepKey }), outcome("top")]);
    expect([path, answer.status, beside]).toEqual([path, 400, "permit"]);
  }
});
