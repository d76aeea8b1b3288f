/** Access tokens against a real issuer on this machine: what is accepted, what is refused, and what is nobody's fault. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Problem } from "../kit/problem.ts";
import { createTokenVerifier, type TokenVerifier, toleranceSeconds } from "./access-token.ts";
import { createAuthenticator } from "./authenticate.ts";
import type { Caller } from "./caller.ts";
import { defaultAlgorithms, isSafeUrl, type TokenIssuer } from "./issuer.ts";
import { hashKey } from "./key.ts";

type Pair = { kid: string; alg: string; privateKey: CryptoKey; jwk: JWK };

const makePair = async (kid: string, alg = "ES256"): Promise<Pair> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
};

let ours: Pair;
let next: Pair;
let foreign: Pair;
beforeAll(async () => {
  [ours, next, foreign] = await Promise.all([makePair("1"), makePair("2"), makePair("1")]);
});

let server: Server;
let issuer: string;
/** What the issuer answers, by path; anything else is 404. */
let answers: Record<string, unknown>;
let asked: string[];

beforeEach(async () => {
  asked = [];
  server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const answer = answers[path];
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  issuer = `http://127.0.0.1:${port}/tenant`;
  answers = { "/keys": { keys: [ours.jwk] } };
});

const close = (): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
afterEach(close);
afterAll(close);

const audience = "https://pdp.example.org";

const callerOf = (name: string, clientId: string, rest: Partial<Caller> = {}): Caller => ({
  name,
  oauth: { issuer, audience, clientId },
  scopes: ["evaluate"],
  detail: "plain",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
  ...rest,
});

const now = (): number => Math.floor(Date.now() / 1000);

const claimsOf = (): Record<string, unknown> => ({
  iss: issuer,
  aud: audience,
  sub: "gateway-subject",
  client_id: "gateway",
  jti: "j1",
  iat: now(),
  exp: now() + 300,
});

type Forged = {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  pair?: Pair;
  drop?: string;
};

const tokenOf = async ({ claims = {}, header = {}, pair = ours, drop }: Forged = {}): Promise<string> => {
  const payload = { ...claimsOf(), ...claims };
  if (drop !== undefined) delete payload[drop];
  return new SignJWT(payload)
    .setProtectedHeader({ alg: pair.alg, kid: pair.kid, typ: "at+jwt", ...header })
    .sign(pair.privateKey);
};

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const times = { timeoutMs: 2000, cooldownMs: 0, retryMs: 0 };

const entry = (rest: Partial<TokenIssuer> = {}): TokenIssuer => ({
  issuer,
  jwksUri: new URL("/keys", issuer).href,
  algorithms: [...defaultAlgorithms],
  ...rest,
});

const verifier = (rest: Partial<TokenIssuer> = {}): TokenVerifier =>
  createTokenVerifier([entry(rest)], times);

/** The name of the caller that a token was accepted for, or the code of the problem. */
const outcome = async (verify: TokenVerifier, token: string, callers?: Caller[]): Promise<string> => {
  try {
    const caller = await verify(token, callers ?? [callerOf("gateway", "gateway")]);
    return caller.name;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
};

describe("a token is accepted", () => {
  test("when issuer, audience, type, times and client are right", async () => {
    expect(await outcome(verifier(), await tokenOf())).toBe("gateway");
    expect(await outcome(verifier(), await tokenOf({ header: { typ: "application/at+jwt" } }))).toBe(
      "gateway",
    );
    expect(await outcome(verifier(), await tokenOf({ claims: { aud: ["other", audience] } }))).toBe(
      "gateway",
    );
  });

  test("for the caller of its client id and audience, not for its neighbour", async () => {
    const callers = [
      callerOf("other", "other"),
      callerOf("elsewhere", "gateway", {
        oauth: { issuer, audience: "https://x.example", clientId: "gateway" },
      }),
      callerOf("gateway", "gateway"),
    ];
    expect(await outcome(verifier(), await tokenOf(), callers)).toBe("gateway");
    const token = await tokenOf({ claims: { client_id: "other" } });
    expect(await outcome(verifier(), token, callers)).toBe("other");
  });

  test("when the clocks are a little apart", async () => {
    const slow = await tokenOf({ claims: { exp: now() - toleranceSeconds + 10 } });
    const fast = await tokenOf({
      claims: { iat: now() + toleranceSeconds - 10, nbf: now() + toleranceSeconds - 10 },
    });
    expect(await outcome(verifier(), slow)).toBe("gateway");
    expect(await outcome(verifier(), fast)).toBe("gateway");
  });

  test.each(["ES384", "EdDSA", "PS256", "RS256"])("when it is signed by %s", async (alg) => {
    const pair = await makePair("a", alg);
    answers["/keys"] = { keys: [ours.jwk, pair.jwk] };
    expect(await outcome(verifier(), await tokenOf({ pair }))).toBe("gateway");
  });
});

const wrong: [string, () => Forged][] = [
  ["the audience is another", () => ({ claims: { aud: "https://other.example" } })],
  ["the issuer is one that no caller has", () => ({ claims: { iss: "https://as.other.example" } })],
  ["the issuer differs by a slash", () => ({ claims: { iss: `${issuer}/` } })],
  ["the issuer is no text", () => ({ claims: { iss: [issuer] } })],
  ["it is an id token", () => ({ header: { typ: "JWT" } })],
  ["it is a token-exchange draft of another kind", () => ({ header: { typ: "oauth-id-jag+jwt" } })],
  ["it says no type", () => ({ header: { typ: undefined } })],
  ["it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 10 } })],
  ["it isn't valid yet", () => ({ claims: { nbf: now() + toleranceSeconds + 10 } })],
  ["it was issued in the future", () => ({ claims: { iat: now() + toleranceSeconds + 10 } })],
  ["its times are texts", () => ({ claims: { iat: String(now()) } })],
  ["the key is foreign under our key id", () => ({ pair: foreign })],
  ["the key id is unknown", () => ({ pair: next })],
  ["it is bound to a key", () => ({ claims: { cnf: { jkt: "x" } } })],
  ["it is bound to a certificate", () => ({ claims: { cnf: { "x5t#S256": "x" } } })],
  ["the client is another", () => ({ claims: { client_id: "someone" } })],
  ["the client is no text", () => ({ claims: { client_id: ["gateway"] } })],
  ["it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
  ["the subject is empty", () => ({ claims: { sub: "" } })],
  ["its id is no text", () => ({ claims: { jti: 7 } })],
  ["it is longer than any token", () => ({ claims: { filler: "x".repeat(9000) } })],
  ...["iss", "aud", "sub", "client_id", "jti", "iat", "exp"].map((drop): [string, () => Forged] => [
    `it has no ${drop}`,
    () => ({ drop }),
  ]),
];

describe("a token is refused", () => {
  test.each(wrong)("when %s", async (_, forge) => {
    expect(await outcome(verifier(), await tokenOf(forge()))).toBe("unauthenticated");
  });

  test("when it is signed by nobody, or by a secret that everyone knows", async () => {
    const none = `${part({ alg: "none", typ: "at+jwt" })}.${part(claimsOf())}.`;
    expect(await outcome(verifier(), none)).toBe("unauthenticated");
    // The confusion of public key and shared secret: HMAC keyed with what everyone can read.
    const secret = new TextEncoder().encode(JSON.stringify(ours.jwk).padEnd(64));
    const hmac = await new SignJWT(claimsOf())
      .setProtectedHeader({ alg: "HS256", kid: "1", typ: "at+jwt" })
      .sign(secret);
    expect(await outcome(verifier(), hmac)).toBe("unauthenticated");
  });

  test("when a character of it was changed", async () => {
    const [header, payload, signature] = (await tokenOf()).split(".") as [string, string, string];
    const changed = Buffer.from(JSON.stringify({ ...claimsOf(), sub: "root" })).toString("base64url");
    expect(await outcome(verifier(), `${header}.${changed}.${signature}`)).toBe("unauthenticated");
    expect(await outcome(verifier(), `${header}.${payload}.${signature.slice(4)}`)).toBe("unauthenticated");
    for (const text of ["..", "a.b.c", `${header}..${signature}`])
      expect([text, await outcome(verifier(), text)]).toEqual([text, "unauthenticated"]);
  });

  test("when its algorithm isn't one of the issuer's", async () => {
    expect(await outcome(verifier({ algorithms: ["EdDSA"] }), await tokenOf())).toBe("unauthenticated");
  });

  test("without asking anyone whom it names itself", async () => {
    const jku = new URL("/evil", issuer).href;
    answers["/evil"] = { keys: [foreign.jwk] };
    const token = await tokenOf({ pair: foreign, header: { jku, jwk: foreign.jwk, x5u: jku } });
    expect(await outcome(verifier(), token)).toBe("unauthenticated");
    expect(asked).toEqual(["/keys"]);
    const stranger = await tokenOf({ pair: foreign, claims: { iss: new URL("/evil", issuer).href } });
    expect(await outcome(verifier(), stranger)).toBe("unauthenticated");
    expect(asked).toEqual(["/keys"]);
  });

  test("with one and the same text, whatever is wrong", async () => {
    const details = new Set<string>();
    for (const [, forge] of wrong) {
      const token = await tokenOf(forge());
      const error: unknown = await verifier()(token, [callerOf("gateway", "gateway")]).catch(
        (reason: unknown) => reason,
      );
      details.add(error instanceof Problem ? error.detail : String(error));
    }
    expect([...details]).toEqual(["the access token is not accepted"]);
  });
});

describe("the issuer's keys", () => {
  test("are fetched once for many tokens", async () => {
    const verify = verifier();
    await Promise.all(Array.from({ length: 20 }, async () => outcome(verify, await tokenOf())));
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    expect(asked).toEqual(["/keys"]);
  });

  test("are fetched anew for an unknown key id: they rotate", async () => {
    const verify = verifier();
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    answers["/keys"] = { keys: [next.jwk] };
    expect(await outcome(verify, await tokenOf({ pair: next }))).toBe("gateway");
    expect(await outcome(verify, await tokenOf())).toBe("unauthenticated");
  });

  test("are not fetched for every invented key id", async () => {
    const verify = createTokenVerifier([entry()], { ...times, cooldownMs: 60_000 });
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    for (let turn = 0; turn < 10; turn++)
      expect(await outcome(verify, await tokenOf({ pair: next, header: { kid: `x${turn}` } }))).toBe(
        "unauthenticated",
      );
    expect(asked).toEqual(["/keys"]);
  });

  test.each([
    ["/.well-known/oauth-authorization-server/tenant"],
    ["/tenant/.well-known/openid-configuration"],
  ])("are found through the metadata at %s", async (path) => {
    answers[path] = { issuer, jwks_uri: new URL("/keys", issuer).href };
    const verify = createTokenVerifier([], times);
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    expect(asked.at(-1)).toBe("/keys");
  });

  test.each([
    ["speaks for another issuer", () => ({ issuer: "https://other.example", jwks_uri: `${issuer}/../keys` })],
    [
      "names keys that travel in the clear",
      () => ({ issuer, jwks_uri: new URL("/keys", issuer).href.replace("127.0.0.1", "0.0.0.0") }),
    ],
    ["names no keys", () => ({ issuer })],
  ])("can't be had when the metadata %s", async (_, metadata) => {
    answers["/.well-known/oauth-authorization-server/tenant"] = metadata();
    expect(await outcome(createTokenVerifier([], times), await tokenOf())).toBe("not_ready");
    expect(asked).not.toContain("/keys");
  });

  test.each<[string, unknown]>([
    ["nothing there", undefined],
    ["no key set", { keys: "none" }],
    ["a text", "keys"],
  ])("that answer with %s are no fault of the token", async (_, answer) => {
    answers["/keys"] = answer;
    expect(await outcome(verifier(), await tokenOf())).toBe("not_ready");
  });

  test("that can't be reached are no fault of the token; when they are back, it is accepted", async () => {
    const verify = verifier();
    const keys = answers["/keys"];
    answers["/keys"] = undefined;
    expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    answers["/keys"] = keys;
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    const gone = verifier({ jwksUri: "http://127.0.0.1:1/keys" });
    expect(await outcome(gone, await tokenOf())).toBe("not_ready");
  });

  test("are found as soon as the metadata is there", async () => {
    const verify = createTokenVerifier([], times);
    expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    answers["/.well-known/oauth-authorization-server/tenant"] = {
      issuer,
      jwks_uri: new URL("/keys", issuer).href,
    };
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
  });

  test("that redirect are not followed: only the configured address is believed", async () => {
    const redirecting = createServer((_, response) => {
      response.writeHead(302, { Location: new URL("/keys", issuer).href }).end();
    });
    await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
    const { port } = redirecting.address() as AddressInfo;
    const verify = verifier({ jwksUri: `http://127.0.0.1:${port}/keys` });
    expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    expect(asked).toEqual([]);
    redirecting.close();
  });

  test("that are known serve on while the issuer is down, even if someone invents key ids", async () => {
    const verify = createTokenVerifier([entry()], { ...times, retryMs: 60_000 });
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    // Without a cooldown, an unknown key id fetches only once the last fetch is in the past.
    await sleep(5);
    answers["/keys"] = undefined;
    expect(await outcome(verify, await tokenOf({ pair: next }))).toBe("not_ready");
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
  });

  test("are not asked for again at once after a failure", async () => {
    answers["/keys"] = undefined;
    const verify = createTokenVerifier([entry()], { ...times, retryMs: 60_000 });
    for (let turn = 0; turn < 5; turn++) expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    expect(asked).toEqual(["/keys"]);
    asked = [];
    const discovering = createTokenVerifier([], { ...times, retryMs: 60_000 });
    for (let turn = 0; turn < 5; turn++)
      expect(await outcome(discovering, await tokenOf())).toBe("not_ready");
    expect(asked).toHaveLength(2);
  });

  test("may stand in a file, which is read again for an unknown key id", async () => {
    const jwksFile = join(mkdtempSync(join(tmpdir(), "remit-jwks-")), "keys.json");
    const { jwksUri: _uri, ...local } = entry({ jwksFile });
    const verify = createTokenVerifier([local], times);
    expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    writeFileSync(jwksFile, "{}");
    expect(await outcome(verify, await tokenOf())).toBe("not_ready");
    writeFileSync(jwksFile, JSON.stringify({ keys: [ours.jwk] }));
    expect(await outcome(verify, await tokenOf())).toBe("gateway");
    writeFileSync(jwksFile, JSON.stringify({ keys: [next.jwk] }));
    expect(await outcome(verify, await tokenOf({ pair: next }))).toBe("gateway");
    expect(asked).toEqual([]);
  });
});

test("an authenticator takes keys and tokens alike", async () => {
  const callers = [
    callerOf("gateway", "gateway"),
    { ...callerOf("key", "x"), oauth: undefined, keyHash: hashKey("k") } as unknown as Caller,
  ];
  const authenticate = createAuthenticator({
    callers: () => callers,
    adminKeyHash: hashKey("admin"),
    issuers: [entry()],
  });
  expect(await authenticate(`Bearer ${await tokenOf()}`)).toBe(callers[0]);
  expect(authenticate("Bearer k")).toBe(callers[1]);
  await expect(authenticate(`Bearer ${await tokenOf({ pair: foreign })}`)).rejects.toBeInstanceOf(Problem);
});

test("only https, or http on this machine, is safe to fetch keys from", () => {
  for (const url of [
    "https://a.example",
    "https://a.example/t?x=1",
    "http://127.0.0.1:8080",
    "http://localhost/x",
    "http://[::1]:1",
  ])
    expect([url, isSafeUrl(url)]).toEqual([url, true]);
  for (const url of [
    "http://a.example",
    "ftp://a.example",
    "https://u:p@a.example",
    "https://a.example#x",
    " https://a.example",
    "a.example",
    "http://localhost.example",
    "",
  ])
    expect([url, isSafeUrl(url)]).toEqual([url, false]);
});
