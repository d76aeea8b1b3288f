/** Tokens of a real authorization server, forwarded to a running service: whom they prove, and what is kept of them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  post,
  type Posted,
  startTestService,
  tempDir,
  type TestService,
  until,
} from "../../conformance-tests/service.ts";
import { sha256 } from "../kit/digest.ts";
import { asField, otherCertificate, workerCertificate } from "../identity/certificates.test-parts.ts";
import { hashKey } from "../identity/key.ts";
import { openDatabase } from "../store/sqlite/open.ts";
import {
  type AuthorizationServer,
  exchangeGrant,
  jwtResource,
  loginGrant,
  opaqueResource,
  secretOf,
  startAuthorizationServer,
} from "./authorization-server.test-parts.ts";

const schema = `
@remit("user") entity User;
@remit("agent") entity Agent;
entity Doc;
type Ctx = { remit: Remit::Facts };
action see, proven, borne, told, sure, orders, pays appliesTo { principal: [User, Agent], resource: [Doc], context: Ctx };
`;

const policies = `
@id("see") permit (principal, action == Action::"see", resource);
@id("proven") permit (principal, action == Action::"proven", resource) when { context.remit.assurance == "proof" };
@id("borne") permit (principal, action == Action::"borne", resource) when { context.remit.assurance == "bearer" };
@id("told") permit (principal, action == Action::"told", resource) when { context.remit.assurance == "asserted" };
@id("sure") permit (principal, action == Action::"sure", resource) when { context.remit.subject_assurance == "bearer" };
@id("orders") permit (principal, action == Action::"orders", resource);
@id("not-orders") forbid (principal == Agent::"orchestrator-agent", action == Action::"orders", resource);
@id("pays") permit (principal, action == Action::"pays", resource) when { context.remit has actor && context.remit.actor == Agent::"worker-agent" && context.remit has on_behalf_of && context.remit.on_behalf_of == User::"alice" && context.remit.chain_length == 3 };
`;

const agentsOf = (issuer: string, orchestrator = "active"): string => `
agents:
  - { id: orchestrator-agent, status: ${orchestrator}, recognised_by: [{ issuer: "${issuer}", client_id: orchestrator }] }
  - { id: worker-agent, recognised_by: [{ issuer: "${issuer}", client_id: worker }] }
  - { id: certified-agent, recognised_by: [{ issuer: "${issuer}", client_id: certified }] }
  - { id: other-agent, recognised_by: [{ issuer: "https://other.example.org", client_id: stranger }] }
`;

const keyOf = (name: string): string => `remit_test-key-of-${name}-0123456789012345678901234`;

const toolUrl = "https://tools.example.org/mcp";

let as: AuthorizationServer;
let service: TestService;
let dir: string;

beforeAll(async () => {
  as = await startAuthorizationServer();
  const secretFile = join(mkdtempSync(join(tmpdir(), "remit-secret-")), "secret");
  writeFileSync(secretFile, `${secretOf("remit")}\n`);
  dir = tempDir();
  service = await startTestService({
    dir,
    files: {
      "schemas/fixture.cedarschema": schema,
      "policies/fixture.cedar": policies,
      "policies/entities/entities.yaml": "[]",
      "policies/entities/agents.yaml": agentsOf(as.issuer),
    },
    yaml: `
callers:
  - { name: pep, key_hash: "${hashKey(keyOf("pep"))}", scopes: [evaluate], detail: admin }
  - { name: strict, key_hash: "${hashKey(keyOf("strict"))}", scopes: [evaluate], detail: admin, token_required: true }
  - { name: elsewhere, key_hash: "${hashKey(keyOf("elsewhere"))}", scopes: [evaluate], detail: admin, proof_urls: ["https://elsewhere.example.org/"] }
issuers:
  - issuer: "${as.issuer}"
    audiences: ["${jwtResource}", "${opaqueResource}"]
    user_clients: [webapp]
    introspection: { endpoint: "${as.issuer}/token/introspection", client_id: remit, client_secret_file: "${secretFile}" }
proof_urls: ["https://tools.example.org/"]
`,
  });
});
afterAll(async () => {
  await service.close();
  rmSync(dir, { recursive: true, force: true });
  await as.close();
});

type Asked = {
  subject?: string;
  action?: string;
  agent?: string;
  act?: unknown;
  tokens?: Record<string, unknown>;
  key?: string;
  idempotencyKey?: string;
  caller?: string;
};

const question = ({ subject = "User::alice", action = "see", agent, act, tokens, idempotencyKey }: Asked) => {
  const [type, id] = subject.split("::");
  const remit = {
    ...(tokens ? { tokens } : {}),
    ...(idempotencyKey === undefined ? {} : { idempotency_key: idempotencyKey }),
  };
  return {
    subject: { type, id, ...(act === undefined ? {} : { properties: { act } }) },
    action: { name: action },
    resource: { type: "Doc", id: "d" },
    context: { ...(agent === undefined ? {} : { agent }), remit },
  };
};

const ask = (asked: Asked): Promise<Posted> =>
  post(`${service.url}/access/v1/evaluation`, question(asked), {
    authorization: `Bearer ${keyOf(asked.caller ?? "pep")}`,
  });

const outcomeIn = ({ status, body }: Posted): string => {
  if (status !== 200) return `${status} ${String(body["code"])}`;
  const { remit } = (body["context"] ?? {}) as { remit?: { reason: string } };
  return body.decision === true ? "permit" : (remit?.reason ?? "?");
};

const outcome = async (asked: Asked): Promise<string> => outcomeIn(await ask(asked));

const login = async (client: string, account = "alice", resource = jwtResource): Promise<string> =>
  (await as.token(client, { grant_type: loginGrant, login: account, resource }))["access_token"]!;

const own = async (client: string, resource = jwtResource): Promise<string> =>
  (await as.token(client, { grant_type: "client_credentials", resource }))["access_token"]!;

const exchanged = async (token: string, client = "worker"): Promise<string> =>
  (
    await as.token(client, {
      grant_type: exchangeGrant,
      subject_token: token,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
    })
  )["access_token"]!;

type Row = {
  actors: unknown[];
  reason: string;
  decision: string;
  assurance: string;
  subject_assurance?: string;
};

const entries = async (): Promise<Row[]> => {
  const admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
  const response = await fetch(`${service.url}/v1/ledger/entries?limit=1&order=desc`, {
    headers: { authorization: `Bearer ${admin}` },
  });
  return ((await response.json()) as { entries: Row[] }).entries;
};

describe("an access token", () => {
  test("names the acting agent, and on whose behalf, without the caller's word for it", async () => {
    const agent = await login("worker");
    expect(await outcome({ action: "borne", tokens: { agent } })).toBe("permit");
    expect(await outcome({ action: "sure", tokens: { agent } })).toBe("permit");
    const [entry] = await entries();
    expect(entry?.actors).toEqual([{ type: "Agent", id: "worker-agent" }]);
    expect(await outcome({ action: "told", agent: "worker-agent" })).toBe("permit");
    expect(await outcome({ action: "borne", agent: "worker-agent" })).toBe("no_permit");
  });

  test("must be of those whom the caller names", async () => {
    const agent = await login("worker");
    expect(await outcome({ agent: "worker-agent", tokens: { agent } })).toBe("permit");
    expect(await outcome({ act: { sub: "worker-agent" }, tokens: { agent } })).toBe("permit");
    const wrong: Asked[] = [
      { agent: "orchestrator-agent" },
      { act: { sub: "orchestrator-agent" } },
      { subject: "User::bob" },
      { subject: "Agent::worker-agent" },
      { subject: "Agent::alice" },
    ];
    for (const asked of wrong)
      expect([asked, await outcome({ ...asked, tokens: { agent } })]).toEqual([asked, "identity_mismatch"]);
  });

  test("of an agent on its own is about the agent, and about nobody else", async () => {
    const agent = await own("worker");
    expect(await outcome({ subject: "Agent::worker-agent", action: "borne", tokens: { agent } })).toBe(
      "permit",
    );
    expect(await outcome({ subject: "Agent::worker-agent", tokens: { subject: agent } })).toBe("permit");
    expect(await outcome({ subject: "Agent::orchestrator-agent", tokens: { agent } })).toBe(
      "identity_mismatch",
    );
    expect(await outcome({ subject: "User::alice", tokens: { agent } })).toBe("identity_mismatch");
    expect(await outcome({ subject: "User::worker", tokens: { agent } })).toBe("identity_mismatch");
  });

  test("of a client that no agent is recognised by is refused, also where an agent has that client elsewhere", async () => {
    expect(await outcome({ tokens: { agent: await login("stranger") } })).toBe("agent_unknown");
    expect(await outcome({ tokens: { subject: await login("stranger") } })).toBe("agent_unknown");
  });

  test("of a person's own application names no agent beside it, but as an agent's it would", async () => {
    const subject = await login("webapp");
    expect(await outcome({ action: "sure", tokens: { subject } })).toBe("permit");
    expect(await outcome({ action: "borne", tokens: { subject } })).toBe("permit");
    expect(await outcome({ tokens: { agent: subject } })).toBe("agent_unknown");
    // An agent that only the caller names stays asserted.
    expect(await outcome({ action: "told", agent: "worker-agent", tokens: { subject } })).toBe("permit");
    expect(await outcome({ action: "borne", agent: "worker-agent", tokens: { subject } })).toBe("no_permit");
  });

  test("for the person and one for the agent make one chain, and can't be about two people", async () => {
    const tokens = { subject: await login("webapp"), agent: await own("worker") };
    expect(await outcome({ action: "borne", tokens })).toBe("permit");
    expect(await outcome({ subject: "User::bob", tokens })).toBe("identity_mismatch");
    const two = { subject: await login("webapp"), agent: await login("worker", "bob") };
    for (const subject of ["User::alice", "User::bob"])
      expect(await outcome({ subject, tokens: two })).toBe("identity_mismatch");
  });
});

describe("a token that was exchanged twice", () => {
  let agent: string;
  beforeEach(async () => {
    agent = await exchanged(await login("orchestrator"));
  });

  test("brings every actor into the chain, the current one last", async () => {
    expect(await outcome({ action: "pays", tokens: { agent } })).toBe("permit");
    const [entry] = await entries();
    expect(entry?.actors).toEqual([
      { type: "Agent", id: "orchestrator-agent" },
      { type: "Agent", id: "worker-agent" },
    ]);
  });

  test("permits no more than the agent in the middle may", async () => {
    expect(await outcome({ action: "orders", tokens: { agent: await login("worker") } })).toBe("permit");
    expect(await outcome({ action: "orders", tokens: { agent } })).toBe("policy_forbid");
  });

  test("must be the chain that the caller tells, if it tells one", async () => {
    const act = { sub: "worker-agent", act: { sub: "orchestrator-agent" } };
    expect(await outcome({ act, agent: "worker-agent", tokens: { agent } })).toBe("permit");
    for (const other of [
      { sub: "worker-agent" },
      { sub: "orchestrator-agent", act: { sub: "worker-agent" } },
    ])
      expect(await outcome({ act: other, tokens: { agent } })).toBe("identity_mismatch");
  });

  test("is refused while the agent in the middle is suspended", async () => {
    service.write("policies/entities/agents.yaml", agentsOf(as.issuer, "suspended"));
    await until(async () => (await outcome({ agent: "orchestrator-agent" })) === "agent_suspended");
    expect(await outcome({ tokens: { agent } })).toBe("agent_suspended");
    expect(await outcome({ tokens: { agent: await login("worker") } })).toBe("permit");
    service.write("policies/entities/agents.yaml", agentsOf(as.issuer));
    await until(async () => (await outcome({ agent: "orchestrator-agent" })) === "permit");
  });

  test("is refused while the agent in the middle is killed", async () => {
    const agent = await exchanged(await login("orchestrator"));
    const admin = readFileSync(join(dir, "data/admin.key"), "utf8").trim();
    const headers = { authorization: `Bearer ${admin}` };
    const body = { target: { agent: "orchestrator-agent" }, reason: "stop" };
    const killed = await post(`${service.url}/v1/kill`, body, headers);
    expect(await outcome({ tokens: { agent } })).toBe("agent_suspended");
    const { id } = killed.body["kill"] as { id: string };
    await post(`${service.url}/v1/kill/${id}/lift`, { reason: "fine" }, headers);
    expect(await outcome({ tokens: { agent } })).toBe("permit");
  });

  test("is refused with one hop more than the chain may have, and never cut", async () => {
    let token = agent;
    for (let hop = 0; hop < 6; hop++)
      token = await exchanged(token, hop % 2 === 0 ? "orchestrator" : "worker");
    expect(await outcome({ tokens: { agent: token } })).toBe("permit");
    expect(await outcome({ tokens: { agent: await exchanged(token, "orchestrator") } })).toBe(
      "chain_too_deep",
    );
  });
});

describe("an opaque token", () => {
  test("is asked about at its issuer", async () => {
    const agent = await login("worker", "alice", opaqueResource);
    expect(agent).not.toContain(".");
    expect(await outcome({ action: "borne", tokens: { agent } })).toBe("permit");
    expect(await outcome({ subject: "User::bob", tokens: { agent } })).toBe("identity_mismatch");
    const alone = await own("worker", opaqueResource);
    expect(await outcome({ subject: "Agent::worker-agent", tokens: { agent: alone } })).toBe("permit");
  });

  test("that isn't active is refused", async () => {
    expect(await outcome({ tokens: { agent: "never-issued" } })).toBe("token_expired");
  });
});

describe("a token that is bound by DPoP", () => {
  let pair: { privateKey: CryptoKey; jwk: JWK };
  let agent: string;

  const proofOf = async (claims: Record<string, unknown> = {}, key = pair): Promise<string> =>
    new SignJWT({
      jti: crypto.randomUUID(),
      htm: "POST",
      htu: toolUrl,
      ath: sha256(agent).toString("base64url"),
      ...claims,
    })
      .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk: key.jwk })
      .setIssuedAt()
      .sign(key.privateKey);

  const makeKey = async (): Promise<typeof pair> => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    return { privateKey, jwk: await exportJWK(publicKey) };
  };

  beforeAll(async () => {
    pair = await makeKey();
    agent = "";
    const proof = await proofOf({ htu: `${as.issuer}/token`, ath: undefined });
    const issued = await as.token("worker", { grant_type: "client_credentials" }, { DPoP: proof });
    expect(issued["token_type"]).toBe("DPoP");
    agent = issued["access_token"]!;
    const [, payload] = agent.split(".");
    const { cnf } = JSON.parse(Buffer.from(payload!, "base64url").toString()) as { cnf: { jkt: string } };
    expect(cnf.jkt).toBe(await calculateJwkThumbprint(pair.jwk));
  });

  const subject = "Agent::worker-agent";
  const proven = async (tokens: Record<string, unknown>, more: Asked = {}): Promise<string> =>
    outcome({ subject, action: "proven", tokens: { agent, ...tokens }, ...more });

  test("counts as proof with its proof, and for nothing without", async () => {
    expect(await proven({ dpop: await proofOf() })).toBe("permit");
    expect(await proven({ dpop: await proofOf(), method: "POST", url: `${toolUrl}?x=1` })).toBe("permit");
    expect(await proven({})).toBe("token_proof");
  });

  test("is refused with a proof for anything else", async () => {
    const wrong: [string, Record<string, unknown>][] = [
      ["another token", { dpop: await proofOf({ ath: sha256("other").toString("base64url") }) }],
      ["no token", { dpop: await proofOf({ ath: undefined }) }],
      ["another key", { dpop: await proofOf({}, await makeKey()) }],
      ["another server", { dpop: await proofOf({ htu: "https://tools.example.org.evil.example/mcp" }) }],
      ["another method", { dpop: await proofOf({ htm: "GET" }), method: "POST" }],
      ["another URL", { dpop: await proofOf(), url: "https://tools.example.org/admin" }],
      ["another time", { dpop: await proofOf({ iat: 1 }) }],
      ["no id", { dpop: await proofOf({ jti: undefined }) }],
      ["another purpose", { dpop: agent }],
    ];
    for (const [what, tokens] of wrong) {
      // `setIssuedAt` comes after the claims: a stale proof is made by hand.
      const made =
        what === "another time"
          ? {
              dpop: await new SignJWT({
                jti: "x",
                htm: "POST",
                htu: toolUrl,
                ath: sha256(agent).toString("base64url"),
                iat: 1,
              })
                .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk: pair.jwk })
                .sign(pair.privateKey),
            }
          : tokens;
      expect([what, await proven(made)]).toEqual([what, "token_proof"]);
    }
    expect(await proven({ dpop: await proofOf() }, { caller: "elsewhere" })).toBe("token_proof");
    expect(await outcome({ tokens: { agent: await login("worker"), dpop: await proofOf() } })).toBe(
      "token_proof",
    );
    expect(await outcome({ tokens: { dpop: await proofOf() } })).toBe("token_proof");
  });

  test("is refused with a proof that was used, unless the same question is asked again", async () => {
    const dpop = await proofOf();
    expect(await proven({ dpop }, { idempotencyKey: "once" })).toBe("permit");
    expect(await proven({ dpop }, { idempotencyKey: "once" })).toBe("permit");
    expect(await proven({ dpop }, { idempotencyKey: "twice" })).toBe("token_replayed");
    expect(await proven({ dpop })).toBe("token_replayed");
  });

  test("is refused with a proof that was used before the service was started anew", async () => {
    const [once, kept] = [await proofOf(), await proofOf()];
    expect(await proven({ dpop: once })).toBe("permit");
    expect(await proven({ dpop: kept }, { idempotencyKey: "kept-over" })).toBe("permit");
    await service.close();
    service = await startTestService({ dir });
    expect(await proven({ dpop: once })).toBe("token_replayed");
    expect(await proven({ dpop: kept }, { idempotencyKey: "kept-over" })).toBe("permit");
    expect(await proven({ dpop: kept })).toBe("token_replayed");
    expect(await proven({ dpop: await proofOf() })).toBe("permit");
  });

  test("serves all questions of one request with one proof", async () => {
    const remit = { tokens: { agent, dpop: await proofOf() } };
    const batch = {
      subject: { type: "Agent", id: "worker-agent" },
      action: { name: "proven" },
      context: { remit },
      evaluations: [{ resource: { type: "Doc", id: "1" } }, { resource: { type: "Doc", id: "2" } }],
    };
    const ask = (): Promise<Posted> =>
      post(`${service.url}/access/v1/evaluations`, batch, { authorization: `Bearer ${keyOf("pep")}` });
    const decisions = ({ body }: Posted): unknown =>
      (body["evaluations"] as { decision: boolean }[]).map(({ decision }) => decision);
    expect(decisions(await ask())).toEqual([true, true]);
    expect(decisions(await ask())).toEqual([false, false]);
  });
});

describe("a caller that must forward tokens", () => {
  const strict = (asked: Asked): Promise<string> => outcome({ ...asked, caller: "strict" });

  test("may not ask without, nor about someone whom they don't vouch for", async () => {
    expect(await strict({})).toBe("403 forbidden");
    expect(await strict({ agent: "worker-agent" })).toBe("403 forbidden");
    expect(await strict({ agent: "worker-agent", tokens: { subject: await login("webapp") } })).toBe(
      "403 forbidden",
    );
  });

  test("is answered with them, and a refused token is a denial", async () => {
    expect(await strict({ tokens: { agent: await login("worker") } })).toBe("permit");
    expect(await strict({ tokens: { subject: await login("webapp") } })).toBe("permit");
    expect(await strict({ tokens: { agent: "x.y.z" } })).toBe("token_type");
  });
});

test("an agent's key goes together with a token for whom it acts", async () => {
  const admin = readFileSync(join(service.dir, "data/admin.key"), "utf8").trim();
  const made = await post(
    `${service.url}/v1/agents/worker-agent/keys`,
    { name: "test" },
    { authorization: `Bearer ${admin}` },
  );
  const agent = String(made.body["key"]);
  const tokens = { agent, subject: await login("webapp") };
  for (const caller of ["pep", "strict"])
    expect(await outcome({ action: "borne", agent: "worker-agent", tokens, caller })).toBe("permit");
  expect(await outcome({ agent: "orchestrator-agent", tokens })).toBe("identity_mismatch");
  expect(await outcome({ subject: "User::bob", agent: "worker-agent", tokens })).toBe("identity_mismatch");
  expect(await outcome({ agent: "worker-agent", tokens: { agent }, caller: "strict" })).toBe("403 forbidden");
  // A key says who acts, and not for whom.
  expect(await outcome({ agent: "worker-agent", tokens: { agent } })).toBe("permit");
  expect(await entries()).toMatchObject([{ assurance: "bearer", subject_assurance: "asserted" }]);
});

test("a token that is bound to a client certificate is proven by it, and is none for a bearer", async () => {
  const issued = await as.token(
    "certified",
    { grant_type: "client_credentials" },
    { "Client-Cert": asField(workerCertificate) },
  );
  const agent = issued["access_token"]!;
  const asked = { subject: "Agent::certified-agent", action: "proven" };
  const client_cert = asField(workerCertificate);
  expect(await outcome({ ...asked, tokens: { agent, client_cert } })).toBe("permit");
  const [, payload] = agent.split(".");
  const { cnf } = JSON.parse(Buffer.from(payload!, "base64url").toString()) as { cnf: object };
  expect(Object.keys(cnf)).toEqual(["x5t#S256"]);
  expect(await outcome({ ...asked, tokens: { agent, ...cnf } })).toBe("permit");
  expect(await entries()).toMatchObject([{ assurance: "proof" }]);
  expect(await outcome({ ...asked, tokens: { agent } })).toBe("token_proof");
  const other = asField(otherCertificate);
  expect(await outcome({ ...asked, tokens: { agent, client_cert: other } })).toBe("token_proof");
  expect(await outcome({ ...asked, action: "borne", tokens: { agent } })).toBe("token_proof");
  expect(await outcome({ ...asked, tokens: { client_cert } })).toBe("token_proof");
});

describe("what is malformed is told without the token", () => {
  test.each<[string, unknown, string]>([
    ["an unknown name", { bearer: "hush" }, "context.remit.tokens.bearer"],
    ["a token as a name", { "hush.hush.hush": 1 }, "context.remit.tokens"],
    ["a list", { agent: ["hush"] }, "context.remit.tokens.agent"],
    ["an endless text", { agent: "hush".repeat(9000) }, "context.remit.tokens.agent"],
  ])("%s", async (_what, tokens, field) => {
    const { status, body, text } = await ask({ tokens: tokens as Record<string, unknown> });
    expect([status, body["field"]]).toEqual([400, field]);
    expect(text).not.toContain("hush");
  });
});

test("of tokens, only digest, issuer and id are kept", async () => {
  const agent = await exchanged(await login("orchestrator"));
  const id = (await ask({ tokens: { agent }, idempotencyKey: "kept" })).headers.get("remit-decision");
  const db = openDatabase(join(service.dir, "data/remit.db"));
  const body = db
    .prepare<[string], string>("select body from detail join entry using (idx) where id = ?")
    .pluck()
    .get(id!)!;
  db.close();
  const { identity } = JSON.parse(body) as { identity: unknown };
  const { jti } = JSON.parse(Buffer.from(agent.split(".")[1]!, "base64url").toString()) as { jti: string };
  expect(identity).toEqual({
    assurance: "bearer",
    subjectAssurance: "bearer",
    tokens: [
      {
        slot: "agent",
        digest: `sha256:${sha256(agent).toString("hex")}`,
        kind: "access_token",
        issuer: as.issuer,
        jti,
      },
    ],
  });
  const signature = agent.split(".")[2]!;
  for (const name of readdirSync(join(service.dir, "data")))
    expect([name, readFileSync(join(service.dir, "data", name)).includes(signature)]).toEqual([name, false]);
});

test("the entry says how surely it was known who acts, and for whom", async () => {
  const assurance = async (asked: Asked): Promise<(string | undefined)[]> => {
    const { headers } = await ask(asked);
    const [entry] = await entries();
    expect(entry).toHaveProperty("id", headers.get("remit-decision"));
    return [entry!.reason, entry!.assurance, entry!.subject_assurance];
  };
  const [agent, bare] = [await own("worker"), await login("worker")];
  const alone = { subject: "Agent::worker-agent" };
  expect(await assurance({ agent: "worker-agent" })).toEqual(["policy_permit", "asserted", undefined]);
  expect(await assurance({ tokens: { agent: bare } })).toEqual(["policy_permit", "bearer", undefined]);
  expect(await assurance({ ...alone, tokens: { agent } })).toEqual(["policy_permit", "bearer", undefined]);
  expect(await assurance({ tokens: { agent: "x.y.z" } })).toEqual(["token_type", "asserted", undefined]);
  expect(await assurance({ agent: "orchestrator-agent", tokens: { agent: bare } })).toEqual([
    "identity_mismatch",
    "asserted",
    undefined,
  ]);
  const key = `remit_agent_${"x".repeat(43)}`;
  expect(await assurance({ agent: "worker-agent", tokens: { agent: key } })).toEqual([
    "identity_mismatch",
    "asserted",
    undefined,
  ]);
  // Refused for another reason before the key was looked at: it shows nothing either.
  expect(await assurance({ agent: "nobody", tokens: { agent: key } })).toEqual([
    "agent_unknown",
    "asserted",
    undefined,
  ]);
});

test("an answer under an idempotency key is none for another agent, nor for less than was shown", async () => {
  const idempotencyKey = "mine";
  expect(await outcome({ tokens: { agent: await login("worker") }, idempotencyKey })).toBe("permit");
  const others = [
    { agent: await login("orchestrator") },
    { agent: await exchanged(await login("orchestrator")) },
    undefined,
  ];
  for (const tokens of others)
    expect(await outcome({ ...(tokens ? { tokens } : {}), idempotencyKey })).toBe("422 idempotency_mismatch");
  expect(await outcome({ tokens: { agent: "x.y.z" }, idempotencyKey })).toBe("token_type");
  expect(await outcome({ tokens: { agent: await login("stranger") }, idempotencyKey })).toBe("agent_unknown");
});

test("a retry with fresh tokens is the same question", async () => {
  const first = await login("worker");
  const second = await login("worker");
  expect(first).not.toBe(second);
  expect(await outcome({ tokens: { agent: first }, idempotencyKey: "retried" })).toBe("permit");
  expect(await outcome({ tokens: { agent: second }, idempotencyKey: "retried" })).toBe("permit");
});
