/** Gateways ask as their documents say, over plain HTTP, against a real service with the pack for gateways. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository, startTestService, type TestService } from "../../../conformance-tests/service.ts";
import { newKey } from "../../identity/key.ts";
import { createClient } from "../client.ts";
import { type Gateway, type GatewayEvent, type GatewayOptions, startGateway } from "./gateway.ts";

const gatewayKey = "the-key-of-the-gateway";

let service: TestService;
let callerKey: string;
let keys: { writer: string; reader: string };
const started: Gateway[] = [];
const events: GatewayEvent[] = [];

const gatewayWith = async (options: Partial<GatewayOptions> = {}): Promise<Gateway> => {
  const gateway = await startGateway({
    client: createClient({ baseUrl: service.url, key: callerKey }),
    listen: { host: "127.0.0.1", port: 0 },
    onEvent: (event) => void events.push(event),
    ...options,
  });
  started.push(gateway);
  return gateway;
};

type Answer = { status: number; headers: Record<string, string | string[] | undefined> };

/** Node's own client sends what `fetch` would tidy: paths as they are, methods and hosts of all kinds. */
const ask = (
  { url }: Gateway,
  path: string,
  headers: Record<string, string | string[]> = {},
  method = "GET",
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const asked = request({ host: hostname, port, path, method, headers, agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode!, headers: response.headers }));
    });
    asked.once("error", reject);
    asked.end();
  });

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

type Wanted = { method?: string; host?: string; target: string };
const host = "api.example.com";

/** The same request as each gateway asks about it. */
const dialects: Record<
  string,
  (gateway: Gateway, wanted: Wanted, more?: Record<string, string>) => Promise<Answer>
> = {
  nginx: (gateway, wanted, more) =>
    ask(gateway, "/nginx", {
      "x-original-method": wanted.method ?? "GET",
      "x-original-host": wanted.host ?? host,
      "x-original-uri": wanted.target,
      ...more,
    }),
  traefik: (gateway, wanted, more) =>
    ask(gateway, "/traefik", {
      "x-forwarded-method": wanted.method ?? "GET",
      "x-forwarded-host": wanted.host ?? host,
      "x-forwarded-uri": wanted.target,
      "x-forwarded-proto": "https",
      "x-forwarded-for": "192.0.2.1",
      ...more,
    }),
  envoy: (gateway, wanted, more) =>
    ask(gateway, `/envoy${wanted.target}`, { host: wanted.host ?? host, ...more }, wanted.method),
};

const sendAdmin = async (path: string, body: unknown): Promise<Record<string, any>> => {
  const key = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.ok).toBe(true);
  return (await response.json()) as Record<string, any>;
};

beforeAll(async () => {
  const caller = newKey();
  callerKey = caller.key;
  service = await startTestService({
    from: join(repository, "packs/gateway"),
    yaml: `callers: [{ name: gateway, key_hash: "${caller.keyHash}", scopes: [evaluate, settle], detail: user }]\n`,
  });
  const keyOf = async (agent: string): Promise<string> =>
    (await sendAdmin(`/v1/agents/${encodeURIComponent(agent)}/keys`, {}))["key"];
  keys = { writer: await keyOf("agents/writer"), reader: await keyOf("agents/reader") };
});
afterAll(async () => {
  await Promise.all(started.map((gateway) => gateway.close()));
  await service.close();
});

describe.each(Object.keys(dialects))("%s", (dialect) => {
  const via = dialects[dialect]!;

  test("lets pass what policies permit the agent whose key the request bears, and says which decision it was", async () => {
    const gateway = await gatewayWith();
    const read = await via(gateway, { target: "/orders?state=open" }, bearer(keys.reader));
    expect(read.status).toBe(200);
    expect(read.headers["remit-decision"]).toMatch(/^[0-9a-f-]{36}$/);
    const write = { method: "DELETE", target: "/orders/1" };
    expect((await via(gateway, write, bearer(keys.writer))).status).toBe(200);
    expect(await via(gateway, write, bearer(keys.reader))).toMatchObject({
      status: 403,
      headers: { "remit-reason": "no_permit" },
    });
    expect(await via(gateway, { target: "/admin/users" }, bearer(keys.writer))).toMatchObject({
      status: 403,
      headers: { "remit-reason": "policy_forbid", "remit-message": "Administration is not for agents." },
    });
    expect(
      (await via(gateway, { target: "/orders", host: "API.example.com" }, bearer(keys.reader))).status,
    ).toBe(200);
    expect(
      (await via(gateway, { target: "/orders", host: "api.example.com:8443" }, bearer(keys.reader))).status,
    ).toBe(403);
  });

  test.each([
    "/orders/../admin",
    "/orders/%2e%2e/admin",
    "/orders/.%2E/admin",
    "/%61dmin",
    "//admin",
    "/orders//1",
    "/orders/%2Fadmin",
    "/orders/%5Cadmin",
    "/orders%00",
    "/orders%zz",
    "/orders/%2e",
    "/orders;x=/admin",
    "orders",
    "http://api.example.com/orders",
    "/orders#x",
    "/orders\\admin",
    `/${"x".repeat(9000)}`,
  ])("refuses the path %s, which could be read in two ways", async (target) => {
    const gateway = await gatewayWith();
    const { status, headers } = await via(gateway, { target }, bearer(keys.writer));
    // Where it is the path itself, HTTP or the address refuses some of them.
    expect([400, 403, 404, 414]).toContain(status);
    if (status === 403) expect(headers["remit-reason"]).toBe("unreadable_request");
  });

  test("answers 401 to a request without an agent's key", async () => {
    const gateway = await gatewayWith();
    for (const headers of [{}, bearer("remit_nobody"), { authorization: "Basic eDp5" }])
      expect(await via(gateway, { target: "/orders" }, headers)).toMatchObject({
        status: 401,
        headers: { "www-authenticate": 'Bearer realm="remit"' },
      });
  });

  test("lets nothing pass when the PDP gives no answer", async () => {
    const gateway = await gatewayWith({
      client: createClient({ baseUrl: "http://127.0.0.1:9", timeoutMs: 500 }),
    });
    expect(await via(gateway, { target: "/orders" }, bearer(keys.reader))).toMatchObject({
      status: 403,
      headers: { "remit-reason": "authorization_unavailable" },
    });
    const named = await gatewayWith({
      client: createClient({ baseUrl: "http://127.0.0.1:9", timeoutMs: 500 }),
      gatewayKey,
      agentHeader: "X-Agent",
    });
    const headers = { "remit-gateway-key": gatewayKey, "x-agent": "agents/reader" };
    expect((await via(named, { target: "/orders" }, headers)).status).toBe(403);
  });
});

describe("who acts in a header", () => {
  test("is taken from a gateway that shows its key, and from nobody else", async () => {
    const gateway = await gatewayWith({ gatewayKey, agentHeader: "X-Agent" });
    const asked = (headers: Record<string, string>): Promise<Answer> =>
      dialects["nginx"]!(gateway, { target: "/orders" }, headers);
    const named = { "x-agent": "agents/reader" };
    expect((await asked({ ...named, "remit-gateway-key": gatewayKey })).status).toBe(200);
    expect((await asked({ "x-agent": "agents/nobody", "remit-gateway-key": gatewayKey })).status).toBe(403);
    expect((await asked({ "remit-gateway-key": gatewayKey })).status).toBe(401);
    for (const headers of [named, { ...named, "remit-gateway-key": "another" }, bearer(keys.reader)])
      expect(await asked(headers)).toMatchObject({ status: 403, headers: { "remit-reason": "no_gateway" } });
  });

  test("needs a key, as does an address that others reach", async () => {
    await expect(gatewayWith({ agentHeader: "X-Agent" })).rejects.toThrow("must show a gateway's key");
    await expect(gatewayWith({ listen: { host: "0.0.0.0", port: 0 } })).rejects.toThrow("key of its own");
  });
});

test("a gateway's question is what its own headers say: another's are the client's word", async () => {
  const gateway = await gatewayWith();
  const forged = {
    "x-original-uri": "/orders",
    "x-original-method": "GET",
    "x-original-host": host,
    "x-forwarded-uri": "/orders",
    "x-forwarded-method": "GET",
    "x-forwarded-host": host,
    ...bearer(keys.reader),
  };
  expect((await ask(gateway, "/envoy/admin", { host, ...forged })).status).toBe(403);
  expect((await ask(gateway, "/envoy/orders", { host: "other.example.com", ...forged })).status).toBe(403);
  const admin = { ...forged, "x-original-uri": "/admin" };
  expect((await ask(gateway, "/nginx", admin)).status).toBe(403);
  expect((await ask(gateway, "/nginx", { ...forged, "x-original-uri": ["/orders", "/admin"] })).status).toBe(
    403,
  );
  expect((await ask(gateway, "/apache", forged)).status).toBe(404);
  expect((await ask(gateway, "/", forged)).status).toBe(404);
});

test("requests are counted, and the one beyond the budget is told until when", async () => {
  const gateway = await gatewayWith();
  await sendAdmin("/v1/budgets/agent-hourly-requests/adjustments", {
    account: "agent:agents/writer",
    unit: "requests",
    amount: 600,
    reason: "test",
  });
  const over = await dialects["traefik"]!(gateway, { target: "/orders" }, bearer(keys.writer));
  expect(over).toMatchObject({ status: 403, headers: { "remit-reason": "budget_exhausted" } });
});

test("a suspended agent passes no more", async () => {
  const gateway = await gatewayWith();
  await sendAdmin("/v1/kill", { target: { agent: "agents/reader" }, action: "suspend", reason: "test" });
  const answer = await dialects["nginx"]!(gateway, { target: "/orders" }, bearer(keys.reader));
  expect(answer.status).toBe(403);
});
