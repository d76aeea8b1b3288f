/** Delegations over HTTP: what is recorded narrows what an agent may do for another, from the next decision on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";

const pepKey = "remit_key-of-pep-0123456789012345678901234567";

let service: TestService;
let admin: string;

beforeAll(async () => {
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": `
@authzen("person") @remit("user personal") entity User;
@remit("agent") entity Agent;
@authzen("note") entity Note;
entity Page;
@authzen("look") action "see" appliesTo { principal: [User, Agent], resource: [Note, Page] };
action "edit" appliesTo { principal: [User, Agent], resource: [Note, Page] };
`,
      "policies/fixture.cedar": '@id("all") permit (principal, action, resource);',
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": "agents:\n  - { id: top }\n  - { id: helper }\n  - { id: free }\n",
    },
    yaml: `callers:
  - { name: pep, key_hash: "${hashKey(pepKey)}", scopes: [evaluate], detail: admin }
`,
  });
  admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
});
afterAll(() => service.close());

const send = async (method: string, path: string, body?: unknown, key: string = admin): Promise<any> => {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
};

type Asked = { user?: string; act: unknown; action?: string; type?: string; id?: string };

/** `permit`, or the reason of the denial. */
const ask = async ({
  user = "ann",
  act,
  action = "see",
  type = "Note",
  id = "n",
}: Asked): Promise<string> => {
  const { body } = await send(
    "POST",
    "/access/v1/evaluation",
    {
      subject: { type: "User", id: user, properties: { act } },
      action: { name: action },
      resource: { type, id },
    },
    pepKey,
  );
  if (body.decision) return "permit";
  return String(Object.values(body.context.reason_admin)[0]).split(/[:;]/)[0]!;
};

const delegate = async (body: object): Promise<string> => {
  const answer = await send("POST", "/v1/delegations", { reason: "asked for", ...body });
  expect(answer.status).toBe(201);
  return answer.body.delegation.id;
};

const revoke = (id: string): Promise<any> => send("POST", `/v1/delegations/${id}/revoke`, { reason: "over" });

const top = { sub: "top" };
const helper = { sub: "helper", act: { sub: "top" } };

test("where nothing is recorded the intersection alone says what an agent may do", async () => {
  expect(await ask({ act: { sub: "free" } })).toBe("permit");
  expect(await ask({ act: { sub: "free" }, action: "edit", type: "Page" })).toBe("permit");
});

test("what is recorded holds by action, type and resource, under whatever name it was recorded", async () => {
  const delegator = { type: "person", id: "ann" };
  const first = await delegate({
    delegator,
    delegate: "top",
    scope: { actions: ["look"], resource_types: ["note"] },
  });
  expect(await ask({ act: top })).toBe("permit");
  expect(await ask({ act: top, action: "look", type: "note" })).toBe("permit");
  expect(await ask({ act: top, action: "edit" })).toBe("delegation_denied");
  expect(await ask({ act: top, type: "Page" })).toBe("delegation_denied");
  // Whom somebody else lets act is none of ann's business.
  expect(await ask({ user: "bob", act: top, action: "edit" })).toBe("permit");
  const second = await delegate({
    delegator,
    delegate: "top",
    scope: { actions: ["edit"], resources: [{ type: "Page", id: "p" }] },
  });
  expect(await ask({ act: top, action: "edit", type: "Page", id: "p" })).toBe("permit");
  expect(await ask({ act: top, action: "edit", type: "Page", id: "q" })).toBe("delegation_denied");
  await revoke(second);
  expect(await ask({ act: top, action: "edit", type: "Page", id: "p" })).toBe("delegation_denied");
  await revoke(first);
  // Taken away is not the same as never given.
  expect(await ask({ act: top })).toBe("delegation_denied");
});

test("what is passed on is narrower at each hop, and ends with what it passes on", async () => {
  const delegator = { type: "User", id: "carl" };
  const given = await delegate({ delegator, delegate: "top", scope: { actions: ["see"] }, depth: 1 });
  const passOn = { delegator: { type: "Agent", id: "top" }, delegate: "helper", from: given };
  for (const [more, field] of [
    [{ scope: { actions: ["see", "edit"] } }, "scope"],
    [{}, "scope"],
    [{ scope: { actions: ["see"] }, depth: 1 }, "depth"],
    [{ scope: { actions: ["see"] }, delegator: { type: "Agent", id: "free" } }, "delegator"],
  ] as const)
    expect(await send("POST", "/v1/delegations", { ...passOn, reason: "r", ...more })).toMatchObject({
      status: 400,
      body: { field },
    });
  await delegate({ ...passOn, scope: { actions: ["see"], resource_types: ["Note"] } });
  expect(await ask({ user: "carl", act: helper })).toBe("permit");
  expect(await ask({ user: "carl", act: helper, type: "Page" })).toBe("delegation_denied");
  expect(await ask({ user: "carl", act: top, type: "Page" })).toBe("permit");
  await revoke(given);
  expect(await ask({ user: "carl", act: helper })).toBe("delegation_denied");
  const { delegations } = (await send("GET", "/v1/delegations?delegate=helper")).body;
  expect(delegations).toHaveLength(1);
  expect(delegations[0]).toMatchObject({ from: given, revoked_by: "admin" });
});

test("is an entry of the agent, without the names of people", async () => {
  const id = await delegate({ delegator: { type: "User", id: "dora" }, delegate: "free" });
  await revoke(id);
  await revoke(id);
  const { entries } = (await send("GET", "/v1/ledger/entries?agent=free&limit=1000")).body;
  const mine = entries.filter(({ facts }: any) => facts?.delegation === id);
  expect(mine.map(({ kind }: any) => kind)).toEqual(["delegation.add", "delegation.revoke"]);
  expect(JSON.stringify(mine)).not.toContain("dora");
});

test("asks for what exists, and for an administrator", async () => {
  const body = { delegator: { type: "User", id: "ann" }, delegate: "top", reason: "r" };
  for (const [more, field] of [
    [{ delegator: { type: "Nobody", id: "x" } }, "delegator.type"],
    [{ scope: { actions: ["fly"] } }, "scope.actions"],
    [{ scope: { resource_types: ["Moon"] } }, "scope.resource_types"],
    [{ expires_at: "2020-01-01T00:00:00Z" }, "expires_at"],
    [{ delegator: { type: "Agent", id: "top" } }, "delegate"],
  ] as const)
    expect(await send("POST", "/v1/delegations", { ...body, ...more })).toMatchObject({
      status: 400,
      body: { field },
    });
  expect((await send("POST", "/v1/delegations", { ...body, delegate: "nobody" })).status).toBe(404);
  expect((await send("POST", "/v1/delegations", { ...body, from: "nothing" })).status).toBe(404);
  expect((await send("POST", "/v1/delegations", body, pepKey)).status).toBe(403);
  expect((await revoke("nothing")).status).toBe(404);
});
