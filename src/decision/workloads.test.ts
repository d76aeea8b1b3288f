/** Workloads that a SPIFFE bundle vouches for, forwarded to a running service; and what readiness says without it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { join } from "node:path";
import {
  post,
  repository,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";
import { hashKey } from "../identity/key.ts";
import { sha256 } from "../kit/digest.ts";

const schema = `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Doc;
type Ctx = { remit: Remit::Facts };
action see, proven, borne, trusted appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action == Action::"see", resource);
@id("proven") permit (principal, action == Action::"proven", resource) when { context.remit.assurance == "proof" };
@id("borne") permit (principal, action == Action::"borne", resource) when { context.remit.assurance == "bearer" };
@id("trusted") permit (principal, action == Action::"trusted", resource) when { context.remit.subject_assurance != "asserted" };
`;

const key = "remit_test-key-of-the-pep-0123456789012345678901234";
const proofUrl = "https://tools.example.org/mcp";

type Pair = { privateKey: CryptoKey; jwk: JWK };

const makePair = async (more: Partial<JWK>): Promise<Pair> => {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), alg: "ES256", ...more } };
};

let server: Server;
let bundle: unknown;
let service: TestService;
let svid: Pair;
let wit: Pair;
let workload: Pair;
let stranger: Pair;

beforeAll(async () => {
  svid = await makePair({ kid: "1", use: "jwt-svid" });
  wit = await makePair({ kid: "2", use: "wit-svid" });
  workload = await makePair({});
  stranger = await makePair({});
  server = createServer((_, response) => {
    response.statusCode = bundle === undefined ? 503 : 200;
    response.end(JSON.stringify(bundle ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  service = await startTestService({
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": `
agents:
  - { id: "spiffe://example.org/agents/auditor" }
  - { id: named, recognised_by: [{ spiffe_id: "spiffe://example.org/agents/named" }] }
  - { id: keyed, recognised_by: [{ jkt: "${await calculateJwkThumbprint(stranger.jwk)}" }] }
`,
    },
    yaml: `
callers:
  - { name: pep, key_hash: "${hashKey(key)}", scopes: [evaluate], detail: admin, proof_urls: ["${proofUrl}"] }
trust_domains:
  - trust_domain: example.org
    bundle_url: "http://127.0.0.1:${(server.address() as AddressInfo).port}/bundle"
    audiences: ["https://tools.example.org"]
`,
  });
});
afterAll(async () => {
  await service.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

type Asked = { subject?: string; action?: string; agent?: string; tokens: Record<string, string> };

const outcome = async ({
  subject = "User::alice",
  action = "see",
  agent,
  tokens,
}: Asked): Promise<string> => {
  const [type, ...id] = subject.split("::");
  const question = {
    subject: { type, id: id.join("::") },
    action: { name: action },
    resource: { type: "Doc", id: "d" },
    context: { ...(agent === undefined ? {} : { agent }), remit: { tokens } },
  };
  const { body } = await post(`${service.url}/access/v1/evaluation`, question, {
    authorization: `Bearer ${key}`,
  });
  const { remit } = (body["context"] ?? {}) as { remit?: { reason: string } };
  return body.decision === true ? "permit" : (remit?.reason ?? JSON.stringify(body));
};

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

const jwtSvid = (name: string): Promise<string> =>
  new SignJWT({
    sub: `spiffe://example.org/agents/${name}`,
    aud: "https://tools.example.org",
    exp: inSeconds(300),
  })
    .setProtectedHeader({ alg: "ES256", kid: "1" })
    .sign(svid.privateKey);

const workloadTokens = async (name: string, holder = workload): Promise<{ wit: string; wpt: string }> => {
  const token = await new SignJWT({
    sub: `spiffe://example.org/agents/${name}`,
    exp: inSeconds(300),
    cnf: { jwk: { ...holder.jwk } },
  })
    .setProtectedHeader({ alg: "ES256", kid: "2", typ: "wit+jwt" })
    .sign(wit.privateKey);
  const claims = {
    aud: proofUrl,
    exp: inSeconds(60),
    jti: crypto.randomUUID(),
    wth: sha256(token).toString("base64url"),
  };
  const wpt = await new SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", typ: "wpt+jwt" })
    .sign(holder.privateKey);
  return { wit: token, wpt };
};

const ready = async (): Promise<{
  status: number;
  body: { status: string; checks: Record<string, unknown> };
}> => {
  const response = await fetch(`${service.url}/readyz`);
  return { status: response.status, body: (await response.json()) as never };
};

test("without its bundle nobody of a trust domain is believed, which readiness says until it is there", async () => {
  const agent = await jwtSvid("auditor");
  expect(await outcome({ tokens: { agent } })).toBe("token_keys_unreachable");
  const { status, body } = await ready();
  expect([status, body.status]).toEqual([200, "stale"]);
  expect(body.checks["token_keys"]).toMatchObject({
    status: "stale",
    unreachable: expect.arrayContaining([
      expect.objectContaining({ source: "spiffe://example.org jwt-svid" }),
    ]),
  });
  // Whoever forwards no tokens is answered.
  expect(await outcome({ tokens: {} })).toBe("permit");
  bundle = { keys: [svid.jwk, wit.jwk] };
  await until(async () => (await outcome({ tokens: { agent } })) === "permit");
  await until(async () => (await ready()).body.status === "ready");
});

test("a JWT-SVID is of the agent whose id it is, or that is recognised by it, as a bearer", async () => {
  expect(await outcome({ action: "borne", tokens: { agent: await jwtSvid("auditor") } })).toBe("permit");
  const agent = await jwtSvid("named");
  expect(await outcome({ action: "borne", agent: "named", tokens: { agent } })).toBe("permit");
  expect(await outcome({ agent: "keyed", tokens: { agent } })).toBe("identity_mismatch");
  expect(await outcome({ tokens: { agent: await jwtSvid("nobody") } })).toBe("agent_unknown");
});

test("a JWT-SVID says who acts and not for whom; as the subject's, it is the subject", async () => {
  const token = await jwtSvid("named");
  expect(await outcome({ action: "trusted", tokens: { agent: token } })).toBe("no_permit");
  expect(await outcome({ subject: "Agent::named", action: "trusted", tokens: { agent: token } })).toBe(
    "permit",
  );
  expect(await outcome({ subject: "Agent::named", action: "trusted", tokens: { subject: token } })).toBe(
    "permit",
  );
  expect(await outcome({ subject: "User::alice", tokens: { subject: token } })).toBe("identity_mismatch");
});

test("a WIT with its proof proves who acts", async () => {
  expect(await outcome({ action: "proven", tokens: await workloadTokens("named") })).toBe("permit");
  expect(await outcome({ action: "proven", agent: "named", tokens: await workloadTokens("named") })).toBe(
    "permit",
  );
  expect(await outcome({ agent: "named", tokens: await workloadTokens("auditor") })).toBe(
    "identity_mismatch",
  );
});

test("a key that an agent is recognised by can't prove another agent", async () => {
  expect(
    await outcome({ action: "proven", agent: "keyed", tokens: await workloadTokens("nobody", stranger) }),
  ).toBe("permit");
  expect(await outcome({ tokens: await workloadTokens("named", stranger) })).toBe("identity_mismatch");
});

test("two tokens can't be of two agents", async () => {
  const agent = await jwtSvid("auditor");
  const { wit: identity } = await workloadTokens("named");
  const claims = {
    aud: proofUrl,
    exp: inSeconds(60),
    jti: crypto.randomUUID(),
    wth: sha256(identity).toString("base64url"),
    ath: sha256(agent).toString("base64url"),
  };
  const wpt = await new SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", typ: "wpt+jwt" })
    .sign(workload.privateKey);
  expect(await outcome({ tokens: { agent, wit: identity, wpt } })).toBe("identity_mismatch");
});

test("the log holds no token, however much it tells", async () => {
  const flags = ["--listen", "127.0.0.1:0", "--data", join(tempDir(), "data")];
  const main = join(repository, "dist/cli/main.js");
  const child = spawn(process.execPath, [main, "serve", ...flags], {
    cwd: service.dir,
    env: { PATH: process.env["PATH"], REMIT_LOG_LEVEL: "trace" },
  });
  const closed = once(child, "close");
  const texts = { out: "", err: "" };
  child.stdout.on("data", (part: Buffer) => (texts.out += part.toString()));
  child.stderr.on("data", (part: Buffer) => (texts.err += part.toString()));
  try {
    await until(() => /listens on \S+/.test(texts.out));
    const url = /listens on (\S+)/.exec(texts.out)![1]!;
    const good = await jwtSvid("named");
    const [header, payload] = good.split(".");
    const tokens = [good, `${header}.${payload}.AAAA`, "an-opaque-one"];
    for (const agent of tokens) {
      const context = { remit: { tokens: { agent } } };
      const subject = { type: "Agent", id: "named" };
      const question = { subject, action: { name: "see" }, resource: { type: "Doc", id: "d" }, context };
      const headers = { authorization: `Bearer ${key}` };
      expect((await post(`${url}/access/v1/evaluation`, question, headers)).status).toBe(200);
    }
    for (const text of [payload!, good.split(".")[2]!, "an-opaque-one"])
      expect([texts.out.includes(text), texts.err.includes(text)]).toEqual([false, false]);
    expect(texts.err).toContain("policies are in force");
  } finally {
    child.kill();
    await closed;
  }
});
