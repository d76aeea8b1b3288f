/** What is refused, reason by reason, against keys that are really fetched: the issuer's, and a SPIFFE bundle's. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sha256 } from "../kit/digest.ts";
import { toleranceSeconds } from "./access-token.ts";
import { asField, otherCertificate, workerCertificate } from "./certificates.test-parts.ts";
import { createIntrospection } from "./introspection.ts";
import { defaultAlgorithms, type ForwardedIssuer } from "./issuer.ts";
import { createKeySources, type KeySources } from "./key-sources.ts";
import { createReplayMemory, type Replays } from "./replays.ts";
import type { TrustDomain } from "./trust-domain.ts";
import { createVerification, type ForwardedTokens, type Verification } from "./verification.ts";

type Pair = { kid: string; alg: string; privateKey: CryptoKey; jwk: JWK };

const makePair = async (kid: string, use: string | undefined, alg = "ES256"): Promise<Pair> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, ...(use === undefined ? {} : { use }) };
  return { kid, alg, privateKey, jwk };
};

let as: Pair;
let svid: Pair;
let nextSvid: Pair;
let wit: Pair;
let foreign: Pair;
let workload: Pair;
beforeAll(async () => {
  [as, svid, nextSvid, wit, foreign, workload] = await Promise.all([
    makePair("as", "sig"),
    makePair("svid-1", "jwt-svid"),
    makePair("svid-2", "jwt-svid"),
    makePair("wit-1", "wit-svid"),
    makePair("svid-1", "jwt-svid"),
    makePair("w", undefined),
  ]);
});

let server: Server;
let base: string;
let answers: Record<string, unknown>;
let asked: string[];
/** What introspection answers, and how it was asked. */
let inspected: URLSearchParams[];

const bodyOf = async (request: AsyncIterable<Buffer>): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
};

beforeEach(async () => {
  asked = [];
  inspected = [];
  server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const answer = answers[path];
    response.statusCode = answer === undefined ? 503 : 200;
    // It takes the request, and that is all.
    if (answer === "silence") return;
    const respond = async (): Promise<void> => {
      const body = await bodyOf(request);
      if (request.method === "POST") inspected.push(new URLSearchParams(body));
      response.end(JSON.stringify(answer ?? {}));
    };
    void respond();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  answers = {
    "/keys": { keys: [as.jwk] },
    "/bundle": { keys: [svid.jwk, wit.jwk], spiffe_sequence: 1, spiffe_refresh_hint: 300 },
  };
});
afterEach(
  () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
);

const audience = "https://tools.example.org";
const proofUrl = "https://tools.example.org/mcp";
const spiffeId = "spiffe://example.org/agents/auditor";

const now = (): number => Math.floor(Date.now() / 1000);

const inMemory = (bounds?: { entriesMax: number; perKeyMax: number }): Replays => {
  const memory = createReplayMemory(bounds);
  return (proof, nowMs) => Promise.resolve(memory(proof, nowMs));
};

type Parts = {
  issuer?: Partial<ForwardedIssuer>;
  domain?: Partial<TrustDomain>;
  cooldownMs?: number;
  replays?: Replays;
};

type Verifier = {
  sources: KeySources;
  verify: (tokens: ForwardedTokens, purpose?: string) => Promise<Verification>;
};

const verifier = ({ issuer, domain, cooldownMs = 0, replays = inMemory() }: Parts = {}): Verifier => {
  const issuers = [
    {
      issuer: base,
      jwksUri: `${base}/keys`,
      algorithms: [...defaultAlgorithms],
      audiences: [audience],
      tokenLifetimeMaxSeconds: 3600,
      userClients: [],
      actorIssuers: [],
      ...issuer,
    },
  ];
  const trustDomains = [
    {
      name: "example.org",
      bundleUrl: `${base}/bundle`,
      audiences: [audience],
      tokenLifetimeMaxSeconds: 3600,
      ...domain,
    },
  ];
  const sources = createKeySources({ issuers, trustDomains }, { timeoutMs: 2000, cooldownMs, retryMs: 0 });
  const verify = createVerification({
    issuers,
    trustDomains,
    chainLengthMax: 4,
    sources,
    introspect: createIntrospection(sources),
    replays,
  });
  return {
    sources,
    verify: (tokens, purpose) => verify({ tokens, proofUrls: [proofUrl], purpose, nowMs: Date.now() }),
  };
};

type Forged = {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  pair?: Pair;
};

const sign = async (
  usual: { claims: Record<string, unknown>; header: Record<string, unknown>; pair: Pair },
  { claims, header, pair = usual.pair }: Forged = {},
): Promise<string> => {
  const payload = { ...usual.claims, ...claims };
  const protectedHeader = { alg: pair.alg, kid: pair.kid, ...usual.header, ...header };
  return new SignJWT(payload).setProtectedHeader(protectedHeader).sign(pair.privateKey);
};

const accessToken = (forged?: Forged): Promise<string> =>
  sign(
    {
      claims: {
        iss: base,
        aud: audience,
        sub: "alice",
        client_id: "auditor",
        jti: "j1",
        iat: now(),
        exp: now() + 300,
      },
      header: { typ: "at+jwt" },
      pair: as,
    },
    forged,
  );

const jwtSvid = (forged?: Forged): Promise<string> =>
  sign({ claims: { sub: spiffeId, aud: audience, exp: now() + 300 }, header: {}, pair: svid }, forged);

const identityToken = (forged?: Forged): Promise<string> =>
  sign(
    {
      claims: { sub: spiffeId, exp: now() + 300, cnf: { jwk: { ...workload.jwk } } },
      header: { typ: "wit+jwt" },
      pair: wit,
    },
    forged,
  );

const hash = (token: string): string => sha256(token).toString("base64url");

const workloadProof = (identity: string, forged?: Forged): Promise<string> =>
  sign(
    {
      claims: { aud: proofUrl, exp: now() + 60, jti: crypto.randomUUID(), wth: hash(identity) },
      header: { typ: "wpt+jwt", kid: undefined },
      pair: workload,
    },
    forged,
  );

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The reason of the refusal, or what was verified. */
const outcome = async (tokens: ForwardedTokens, parts: Parts = {}): Promise<string> => {
  const verification = await verifier(parts).verify(tokens);
  return "refusal" in verification ? verification.refusal.reason : "verified";
};

const chain = (actors: number): object | undefined =>
  actors === 0 ? undefined : { iss: base, sub: `a${actors}`, act: chain(actors - 1) };

const foreignLifetime = 3600 + toleranceSeconds + 10;

const wrongAccessTokens: [string, string, () => Forged][] = [
  ["token_audience", "its audience is another", () => ({ claims: { aud: "https://other.example" } })],
  ["token_audience", "it has no audience", () => ({ claims: { aud: undefined } })],
  ["token_issuer", "its issuer isn't configured", () => ({ claims: { iss: "https://as.other.example" } })],
  ["token_issuer", "its issuer differs by a slash", () => ({ claims: { iss: `${base}/` } })],
  ["token_issuer", "it is signed with a foreign key", () => ({ pair: { ...foreign, kid: "as" } })],
  ["token_issuer", "its key is unknown", () => ({ pair: foreign })],
  ["token_type", "it is an ID token", () => ({ header: { typ: "JWT" } })],
  ["token_type", "it is an ID-JAG", () => ({ header: { typ: "oauth-id-jag+jwt" } })],
  ["token_type", "it is a transaction token", () => ({ header: { typ: "txntoken+jwt" } })],
  ["token_type", "it says no type", () => ({ header: { typ: undefined } })],
  ["token_type", "it has no client", () => ({ claims: { client_id: undefined } })],
  ["token_type", "its client is no text", () => ({ claims: { client_id: 7 } })],
  ["token_type", "it has no subject", () => ({ claims: { sub: undefined } })],
  ["token_type", "it has no id", () => ({ claims: { jti: undefined } })],
  ["token_type", "its actor is no object", () => ({ claims: { act: "a" } })],
  ["token_type", "its actor has no name", () => ({ claims: { act: { iss: base } } })],
  ["token_expired", "it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 5 } })],
  ["token_expired", "it never expires", () => ({ claims: { exp: undefined } })],
  ["token_expired", "it lives longer than it may", () => ({ claims: { exp: now() + foreignLifetime } })],
  ["token_not_yet_valid", "it isn't valid yet", () => ({ claims: { nbf: now() + toleranceSeconds + 10 } })],
  [
    "token_not_yet_valid",
    "it was issued in the future",
    () => ({ claims: { iat: now() + toleranceSeconds + 10 } }),
  ],
  ["token_crit", "it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
  ["token_issuer", "its actor has no issuer", () => ({ claims: { act: { sub: "a" } } })],
  [
    "token_issuer",
    "an inner actor has no issuer",
    () => ({ claims: { act: { iss: base, sub: "a", act: { sub: "b" } } } }),
  ],
  [
    "token_issuer",
    "its actor is of an issuer that isn't accepted for it",
    () => ({ claims: { act: { iss: "https://as.other.example", sub: "a" } } }),
  ],
  ["chain_too_deep", "it has one actor too many", () => ({ claims: { act: chain(5) } })],
  ["token_proof", "it is bound and nothing is proven", () => ({ claims: { cnf: { jkt: "x" } } })],
  ["token_proof", "it is bound to a certificate", () => ({ claims: { cnf: { "x5t#S256": "x" } } })],
  ["token_proof", "its binding is broken", () => ({ claims: { cnf: "x" } })],
];

describe("an access token is refused", () => {
  test.each(wrongAccessTokens)("as %s when %s", async (reason, _when, forge) => {
    expect(await outcome({ agent: await accessToken(forge()) })).toBe(reason);
    expect(await outcome({ subject: await accessToken(forge()) })).toBe(reason);
  });

  test("as token_algorithm when it is signed by nobody, with a secret that all know, or otherwise than configured", async () => {
    const claims = {
      iss: base,
      aud: audience,
      sub: "alice",
      client_id: "auditor",
      jti: "j",
      iat: now(),
      exp: now() + 300,
    };
    expect(await outcome({ agent: `${part({ alg: "none", typ: "at+jwt" })}.${part(claims)}.` })).toBe(
      "token_algorithm",
    );
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: "as", typ: "at+jwt" })
      .sign(new TextEncoder().encode(JSON.stringify(as.jwk).padEnd(64)));
    expect(await outcome({ agent: hmac })).toBe("token_algorithm");
    expect(await outcome({ agent: await accessToken() }, { issuer: { algorithms: ["EdDSA"] } })).toBe(
      "token_algorithm",
    );
  });

  test("as token_audience when its issuer is configured for callers alone", async () => {
    expect(await outcome({ agent: await accessToken() }, { issuer: { audiences: [] } })).toBe(
      "token_audience",
    );
  });

  test("as token_type when it is none", async () => {
    for (const agent of ["a.b.c", "..", `${part({ typ: "at+jwt" })}.${part([])}.x`])
      expect([agent, await outcome({ agent })]).toEqual([
        agent,
        agent === ".." ? "token_issuer" : "token_type",
      ]);
  });

  test("as token_keys_unreachable when the keys can't be had, which is told until they can", async () => {
    const { verify, sources } = verifier();
    const keys = answers["/keys"];
    answers["/keys"] = undefined;
    expect(await verify({ agent: await accessToken() })).toMatchObject({
      refusal: { reason: "token_keys_unreachable" },
    });
    expect(sources.unreachable()).toMatchObject([{ source: base }]);
    answers["/keys"] = keys;
    expect(await verify({ agent: await accessToken() })).toHaveProperty("tokens");
    expect(sources.unreachable()).toEqual([]);
  });

  test("as token_keys_unreachable, in bounded time, when who has the keys takes the request and never answers", async () => {
    const { verify, sources } = verifier();
    const keys = answers["/keys"];
    answers["/keys"] = "silence";
    const began = performance.now();
    expect(await verify({ agent: await accessToken() })).toMatchObject({
      refusal: { reason: "token_keys_unreachable" },
    });
    // Two seconds are what the sources are given; a wait for ever would be ended by the test's own time.
    expect(performance.now() - began).toBeGreaterThan(1900);
    expect(sources.unreachable()).toMatchObject([{ source: base }]);
    answers["/keys"] = keys;
    expect(await verify({ agent: await accessToken() })).toHaveProperty("tokens");
  });

  test("but not otherwise: it names client and subject, and actors of issuers that it may name", async () => {
    const act = { iss: base, sub: "outer", act: { iss: "https://as.other.example", sub: "inner" } };
    const agent = await accessToken({ claims: { act } });
    const { verify } = verifier({ issuer: { actorIssuers: ["https://as.other.example"] } });
    expect(await verify({ agent })).toEqual({
      tokens: [
        {
          slot: "agent",
          kind: "access_token",
          issuer: base,
          jti: "j1",
          principal: { issuer: base, sub: "alice" },
          client: { issuer: base, clientId: "auditor" },
          actors: [
            { issuer: "https://as.other.example", clientId: "inner" },
            { issuer: base, clientId: "outer" },
          ],
          userClient: false,
          proven: false,
        },
      ],
    });
    expect(await outcome({ agent: await accessToken({ claims: { act: chain(4) } }) })).toBe("verified");
    const stale = { exp: now() - toleranceSeconds + 5 };
    expect(await outcome({ agent: await accessToken({ claims: stale }) })).toBe("verified");
  });

  test("without anyone being asked whom it names itself", async () => {
    answers["/evil"] = { keys: [foreign.jwk] };
    const agent = await accessToken({ pair: foreign, header: { jku: `${base}/evil`, jwk: foreign.jwk } });
    expect(await outcome({ agent })).toBe("token_issuer");
    expect(asked).not.toContain("/evil");
  });
});

const wrongSvids: [string, string, () => Forged][] = [
  ["token_issuer", "its trust domain is foreign", () => ({ claims: { sub: "spiffe://other.org/a" } })],
  ["token_issuer", "its key is a foreign one under our key id", () => ({ pair: foreign })],
  ["token_issuer", "its key is for another purpose", () => ({ pair: wit })],
  ["token_issuer", "it names no key", () => ({ header: { kid: undefined } })],
  ...[
    "spiffe://example.org",
    "spiffe://example.org/",
    "spiffe://example.org/a/",
    "spiffe://example.org//a",
    "spiffe://example.org/../a",
    "spiffe://example.org:1/a",
    "spiffe://u@example.org/a",
    "spiffe://example.org/a?b",
    "spiffe://example.org/a#b",
    "spiffe://example.org/%61",
    "spiffe://EXAMPLE.org/a",
    `spiffe://example.org/${"a".repeat(2048)}`,
  ].map((sub): [string, string, () => Forged] => [
    "token_issuer",
    `its id is \`${sub.slice(0, 40)}\``,
    () => ({ claims: { sub } }),
  ]),
  ["token_type", "its id is of another scheme", () => ({ claims: { sub: "https://example.org/a" } })],
  ["token_audience", "its audience is another", () => ({ claims: { aud: ["https://other.example"] } })],
  ["token_audience", "it has no audience", () => ({ claims: { aud: undefined } })],
  ["token_expired", "it never expires", () => ({ claims: { exp: undefined } })],
  ["token_expired", "it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 5 } })],
  ["token_expired", "it lives longer than it may", () => ({ claims: { exp: now() + foreignLifetime + 60 } })],
  ["token_crit", "it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
  ["token_proof", "it is bound", () => ({ claims: { cnf: { jkt: "x" } } })],
];

describe("a JWT-SVID", () => {
  test.each(wrongSvids)("is refused as %s when %s", async (reason, _when, forge) => {
    expect(await outcome({ agent: await jwtSvid(forge()) })).toBe(reason);
  });

  test("is refused as token_algorithm when it is signed with one that SPIFFE has not", async () => {
    const pair = await makePair("svid-ed", "jwt-svid", "EdDSA");
    answers["/bundle"] = { keys: [pair.jwk] };
    expect(await outcome({ agent: await jwtSvid({ pair }) })).toBe("token_algorithm");
  });

  test("is refused as token_algorithm when nobody signed it, or whoever knows the public key", async () => {
    const claims = { sub: spiffeId, aud: audience, exp: now() + 300 };
    expect(await outcome({ agent: `${part({ alg: "none", kid: svid.kid })}.${part(claims)}.` })).toBe(
      "token_algorithm",
    );
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: svid.kid })
      .sign(new TextEncoder().encode(JSON.stringify(svid.jwk).padEnd(64)));
    expect(await outcome({ agent: hmac })).toBe("token_algorithm");
  });

  test("is refused as token_not_yet_valid before its time", async () => {
    for (const early of [{ nbf: now() + 60 }, { iat: now() + 60 }])
      expect(await outcome({ agent: await jwtSvid({ claims: early }) })).toBe("token_not_yet_valid");
  });

  test.each([["JWT"], ["JOSE"], [undefined]])("is verified with the type %s", async (typ) => {
    const { verify } = verifier();
    expect(await verify({ agent: await jwtSvid({ header: { typ } }) })).toEqual({
      tokens: [
        {
          slot: "agent",
          kind: "jwt_svid",
          issuer: "spiffe://example.org",
          client: { spiffeId },
          actors: [],
          userClient: false,
          proven: false,
        },
      ],
    });
  });

  test("is verified with the keys of the moment: they rotate, and all can be taken back", async () => {
    const { verify } = verifier();
    const accepted = async (pair: Pair): Promise<boolean> =>
      "tokens" in (await verify({ agent: await jwtSvid({ pair }) }));
    expect([await accepted(svid), await accepted(nextSvid)]).toEqual([true, false]);
    answers["/bundle"] = { keys: [svid.jwk, nextSvid.jwk], spiffe_sequence: 2 };
    expect([await accepted(nextSvid), await accepted(svid)]).toEqual([true, true]);
    answers["/bundle"] = { keys: [] };
    // An unknown key has the bundle read anew; from then on none is accepted.
    expect(await accepted({ ...foreign, kid: "unknown" })).toBe(false);
    expect([await accepted(nextSvid), await accepted(svid)]).toEqual([false, false]);
  });

  test("can't have the bundle read for every invented key", async () => {
    const { verify } = verifier({ cooldownMs: 60_000 });
    for (let turn = 0; turn < 10; turn++)
      expect(await verify({ agent: await jwtSvid({ header: { kid: `x${turn}` } }) })).toHaveProperty(
        "refusal",
      );
    expect(asked).toEqual(["/bundle"]);
  });

  test("of a bundle that can't be had is refused as token_keys_unreachable, and verified when it is back", async () => {
    const { verify, sources } = verifier();
    const bundle = answers["/bundle"];
    for (const broken of [undefined, { keys: "none" }, []]) {
      answers["/bundle"] = broken;
      expect(await verify({ agent: await jwtSvid() })).toMatchObject({
        refusal: { reason: "token_keys_unreachable" },
      });
    }
    expect(sources.unreachable()).toMatchObject([{ source: "spiffe://example.org jwt-svid" }]);
    answers["/bundle"] = bundle;
    expect(await verify({ agent: await jwtSvid() })).toHaveProperty("tokens");
    expect(sources.unreachable()).toEqual([]);
  });

  test("is verified with a bundle in a file, too", async () => {
    const bundleFile = join(mkdtempSync(join(tmpdir(), "remit-bundle-")), "bundle.json");
    const { bundleUrl: _url, ...domain } = {
      name: "example.org",
      bundleUrl: "",
      audiences: [audience],
      tokenLifetimeMaxSeconds: 3600,
    };
    const sources = createKeySources(
      { issuers: [], trustDomains: [{ ...domain, bundleFile }] },
      { timeoutMs: 2000, cooldownMs: 0, retryMs: 0 },
    );
    const verify = createVerification({
      issuers: [],
      trustDomains: [{ ...domain, bundleFile }],
      chainLengthMax: 4,
      sources,
      introspect: createIntrospection(sources),
      replays: inMemory(),
    });
    const ask = async (pair: Pair): Promise<Verification> =>
      verify({ tokens: { agent: await jwtSvid({ pair }) }, proofUrls: [], nowMs: Date.now() });
    expect(await ask(svid)).toMatchObject({ refusal: { reason: "token_keys_unreachable" } });
    writeFileSync(bundleFile, JSON.stringify({ keys: [svid.jwk] }));
    expect(await ask(svid)).toHaveProperty("tokens");
    writeFileSync(bundleFile, JSON.stringify({ keys: [nextSvid.jwk] }));
    expect(await ask(nextSvid)).toHaveProperty("tokens");
    expect(await ask(svid)).toMatchObject({ refusal: { reason: "token_issuer" } });
  });
});

const wrongWits: [string, string, () => Forged][] = [
  ["token_issuer", "its trust domain is foreign", () => ({ claims: { sub: "spiffe://other.org/a" } })],
  ["token_issuer", "it is signed with a key for JWT-SVIDs", () => ({ pair: svid })],
  ["token_issuer", "it names no key", () => ({ header: { kid: undefined } })],
  ["token_type", "it is of another type", () => ({ header: { typ: "JWT" } })],
  ["token_type", "it is bound to nothing", () => ({ claims: { cnf: undefined } })],
  ["token_audience", "it is for someone", () => ({ claims: { aud: audience } })],
  ["token_expired", "it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 5 } })],
  ["token_crit", "it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
  [
    "token_proof",
    "its key says no algorithm",
    () => ({ claims: { cnf: { jwk: { ...workload.jwk, alg: undefined } } } }),
  ],
  [
    "token_proof",
    "its key is for a shared secret",
    () => ({ claims: { cnf: { jwk: { kty: "oct", k: "AA", alg: "HS256" } } } }),
  ],
  ["token_proof", "it is bound otherwise", () => ({ claims: { cnf: { jkt: "x" } } })],
];

const wrongProofs: [string, string, () => Forged][] = [
  ["token_proof", "it is for another WIT", () => ({ claims: { wth: hash("other") } })],
  ["token_proof", "it is for no WIT", () => ({ claims: { wth: undefined } })],
  ["token_proof", "it covers an access token that isn't there", () => ({ claims: { ath: hash("x") } })],
  ["token_proof", "it covers a transaction token", () => ({ claims: { tth: hash("x") } })],
  ["token_proof", "it covers tokens of other kinds", () => ({ claims: { oth: { x: hash("x") } } })],
  ["token_proof", "it is for another server", () => ({ claims: { aud: "https://other.example/mcp" } })],
  ["token_proof", "it is for another path", () => ({ claims: { aud: `${proofUrl}/more` } })],
  ["token_proof", "it is for several", () => ({ claims: { aud: [proofUrl] } })],
  ["token_proof", "it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 5 } })],
  ["token_proof", "it never expires", () => ({ claims: { exp: undefined } })],
  ["token_proof", "it lives too long", () => ({ claims: { exp: now() + 400 } })],
  ["token_proof", "it has no id", () => ({ claims: { jti: undefined } })],
  ["token_proof", "its id is endless", () => ({ claims: { jti: "x".repeat(300) } })],
  ["token_proof", "it is of another type", () => ({ header: { typ: "dpop+jwt" } })],
  ["token_proof", "it is signed with another key", () => ({ pair: { ...foreign, kid: "w" } })],
  ["token_crit", "it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
];

describe("a workload identity token", () => {
  test.each(wrongWits)("is refused as %s when %s", async (reason, _when, forge) => {
    const token = await identityToken(forge());
    expect(await outcome({ wit: token, wpt: await workloadProof(token) })).toBe(reason);
  });

  test.each(wrongProofs)("is refused as %s when the proof is wrong: %s", async (reason, _when, forge) => {
    const token = await identityToken();
    expect(await outcome({ wit: token, wpt: await workloadProof(token, forge()) })).toBe(reason);
  });

  test("is verified with its proof, and proves who it is", async () => {
    const token = await identityToken();
    const { verify } = verifier();
    expect(await verify({ wit: token, wpt: await workloadProof(token) })).toEqual({
      tokens: [
        {
          slot: "wit",
          kind: "wit",
          issuer: "spiffe://example.org",
          client: { spiffeId },
          actors: [],
          userClient: false,
          jkt: await calculateJwkThumbprint(workload.jwk),
          proven: true,
        },
      ],
    });
  });

  test("is nothing without its proof, nor is the proof without it, nor is it a bearer token", async () => {
    const token = await identityToken();
    expect(await outcome({ wit: token })).toBe("token_proof");
    expect(await outcome({ wpt: await workloadProof(token) })).toBe("token_proof");
    expect(await outcome({ agent: token })).toBe("token_type");
    expect(await outcome({ subject: token })).toBe("token_type");
  });

  test("is refused with a private key in it, and with a proof by a shared secret", async () => {
    const jwk = { ...(await exportJWK(workload.privateKey)), alg: "ES256" };
    const token = await identityToken({ claims: { cnf: { jwk } } });
    expect(await outcome({ wit: token, wpt: await workloadProof(token) })).toBe("token_proof");
    const usual = await identityToken();
    const hmac = await new SignJWT({ aud: proofUrl, exp: now() + 60, jti: "x", wth: hash(usual) })
      .setProtectedHeader({ alg: "HS256", typ: "wpt+jwt" })
      .sign(new TextEncoder().encode(JSON.stringify(workload.jwk).padEnd(64)));
    expect(await outcome({ wit: usual, wpt: hmac })).toBe("token_proof");
    expect(await outcome({ wit: usual, wpt: "x" })).toBe("token_proof");
  });

  test("is refused as token_algorithm when nobody signed it, or whoever knows the public key", async () => {
    const claims = { sub: spiffeId, exp: now() + 300, cnf: { jwk: workload.jwk } };
    const bare = `${part({ alg: "none", kid: wit.kid, typ: "wit+jwt" })}.${part(claims)}.`;
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: wit.kid, typ: "wit+jwt" })
      .sign(new TextEncoder().encode(JSON.stringify(wit.jwk).padEnd(64)));
    for (const token of [bare, hmac])
      expect(await outcome({ wit: token, wpt: await workloadProof(token) })).toBe("token_algorithm");
  });

  test("is refused as token_keys_unreachable when its bundle can't be had", async () => {
    answers["/bundle"] = undefined;
    const token = await identityToken();
    expect(await outcome({ wit: token, wpt: await workloadProof(token) })).toBe("token_keys_unreachable");
  });

  test("covers the access token beside it, and no other", async () => {
    const token = await identityToken();
    const agent = await accessToken();
    const with_ = async (ath: string | undefined): Promise<Verification> =>
      verifier().verify({ wit: token, agent, wpt: await workloadProof(token, { claims: { ath } }) });
    expect(await with_(hash(agent))).toMatchObject({
      tokens: [
        { slot: "agent", proven: true },
        { slot: "wit", proven: true },
      ],
    });
    for (const ath of [undefined, hash(await accessToken({ claims: { jti: "j2" } }))])
      expect(await with_(ath)).toMatchObject({ refusal: { reason: "token_proof" } });
  });

  test("is refused as token_replayed with a proof that was used", async () => {
    const { verify } = verifier();
    const token = await identityToken();
    const wpt = await workloadProof(token);
    expect(await verify({ wit: token, wpt }, "a")).toHaveProperty("tokens");
    expect(await verify({ wit: token, wpt }, "a")).toHaveProperty("tokens");
    for (const purpose of ["b", undefined])
      expect(await verify({ wit: token, wpt }, purpose)).toMatchObject({
        refusal: { reason: "token_replayed" },
      });
  });

  test("is refused when there are too many proofs to tell", async () => {
    const { verify } = verifier({ replays: inMemory({ entriesMax: 2, perKeyMax: 2 }) });
    const token = await identityToken();
    const turns = [];
    for (let turn = 0; turn < 3; turn++)
      turns.push(await verify({ wit: token, wpt: await workloadProof(token) }));
    expect(turns.map((turn) => "tokens" in turn)).toEqual([true, true, false]);
    expect(turns[2]).toMatchObject({ refusal: { reason: "token_replayed" } });
  });
});

describe("an opaque token", () => {
  const answer = (): Record<string, unknown> => ({
    active: true,
    iss: base,
    sub: "alice",
    client_id: "auditor",
    aud: audience,
    token_type: "Bearer",
    iat: now(),
    exp: now() + 300,
  });
  let issuer: Partial<ForwardedIssuer>;
  beforeEach(() => {
    const clientSecretFile = join(mkdtempSync(join(tmpdir(), "remit-secret-")), "secret");
    writeFileSync(clientSecretFile, "s\n");
    issuer = {
      introspection: {
        endpoint: `${base}/introspect`,
        clientId: "remit",
        clientSecretFile,
        tokenPrefix: "at_",
      },
    };
    answers["/introspect"] = answer();
  });

  test.each<[string, string, Record<string, unknown>]>([
    ["token_expired", "it isn't active", { active: false }],
    ["token_expired", "it has expired", { exp: 1 }],
    ["token_expired", "nobody says when it expires", { exp: undefined }],
    ["token_expired", "it lives longer than it may", { exp: 9_999_999_999 }],
    ["token_not_yet_valid", "it isn't valid yet", { nbf: 9_999_999_999 }],
    ["token_issuer", "it is another's", { iss: "https://as.other.example" }],
    ["token_audience", "it is for others", { aud: ["https://other.example"] }],
    ["token_audience", "nobody says whom it is for", { aud: undefined }],
    ["token_type", "it is a refresh token", { token_type: "refresh_token" }],
    ["token_type", "nobody says what it is", { token_type: undefined }],
    ["token_type", "it has no client", { client_id: undefined }],
    ["token_proof", "it is bound and nothing is proven", { cnf: { jkt: "x" } }],
    ["token_proof", "it is bound to a certificate that isn't shown", { cnf: { "x5t#S256": "x" } }],
    ["token_issuer", "an actor has no issuer", { act: { sub: "a" } }],
    ["token_keys_unreachable", "the answer is none", { active: "yes" }],
  ])("is refused as %s when %s", async (reason, _when, change) => {
    answers["/introspect"] = { ...answer(), ...change };
    expect(await outcome({ agent: "at_1" }, { issuer })).toBe(reason);
  });

  test("is shown to none but the issuer whose tokens begin like it", async () => {
    expect(await outcome({ agent: "other_1" }, { issuer })).toBe("token_issuer");
    expect(await outcome({ agent: "at_1" })).toBe("token_issuer");
    expect(asked).toEqual([]);
    expect(await outcome({ agent: "at_1" }, { issuer })).toBe("verified");
    expect(inspected.map((form) => form.get("token"))).toEqual(["at_1"]);
  });

  test("is asked about once in a while, and not relied on beyond its end", async () => {
    const { verify } = verifier({ issuer });
    expect(await verify({ agent: "at_1" })).toMatchObject({ tokens: [{ kind: "opaque" }] });
    answers["/introspect"] = { active: false };
    expect(await verify({ agent: "at_1" })).toHaveProperty("tokens");
    expect(inspected).toHaveLength(1);
    expect(await verify({ agent: "at_2" })).toHaveProperty("refusal");
    expect(inspected).toHaveLength(2);
  });

  test("is refused as token_keys_unreachable when nobody answers, which is told", async () => {
    const { verify, sources } = verifier({ issuer });
    answers["/introspect"] = undefined;
    expect(await verify({ agent: "at_1" })).toMatchObject({ refusal: { reason: "token_keys_unreachable" } });
    expect(sources.unreachable()).toMatchObject([{ source: `${base} introspection` }]);
    answers["/introspect"] = answer();
    expect(await verify({ agent: "at_1" })).toHaveProperty("tokens");
    expect(sources.unreachable()).toEqual([]);
  });
});

describe("a DPoP proof", () => {
  const boundToken = async (): Promise<string> =>
    accessToken({ claims: { cnf: { jkt: await calculateJwkThumbprint(workload.jwk) } } });

  const proofFor = async (agent: string, forged?: Forged): Promise<string> => {
    const { kid: _named, ...jwk } = workload.jwk;
    return sign(
      {
        claims: { jti: crypto.randomUUID(), htm: "POST", htu: proofUrl, iat: now(), ath: hash(agent) },
        header: { typ: "dpop+jwt", kid: undefined, jwk },
        pair: workload,
      },
      forged,
    );
  };

  test.each<[string, string, () => Forged]>([
    ["token_proof", "it is of another type", () => ({ header: { typ: "JWT" } })],
    ["token_proof", "it comes without its key", () => ({ header: { jwk: undefined } })],
    ["token_proof", "it comes with a shared secret", () => ({ header: { jwk: { kty: "oct", k: "AA" } } })],
    ["token_proof", "it is of the future", () => ({ claims: { iat: now() + toleranceSeconds + 10 } })],
    ["token_proof", "it is too old", () => ({ claims: { iat: now() - 120 } })],
    ["token_proof", "it says no time", () => ({ claims: { iat: undefined } })],
    ["token_proof", "it has expired", () => ({ claims: { exp: now() - toleranceSeconds - 5 } })],
    ["token_proof", "it says no method", () => ({ claims: { htm: undefined } })],
    ["token_proof", "it says no URL", () => ({ claims: { htu: undefined } })],
    ["token_crit", "it demands an extension", () => ({ header: { crit: ["b64"], b64: true } })],
  ])("is refused as %s when %s", async (reason, _when, forge) => {
    const agent = await boundToken();
    expect(await outcome({ agent, dpop: await proofFor(agent, forge()) })).toBe(reason);
    expect(await outcome({ agent, dpop: await proofFor(agent) })).toBe("verified");
  });

  test("is refused when nobody signed it, with a secret that all know, and with its private key in it", async () => {
    const agent = await boundToken();
    const { kid: _named, ...jwk } = workload.jwk;
    const claims = { jti: "x", htm: "POST", htu: proofUrl, iat: now(), ath: hash(agent) };
    const bare = `${part({ alg: "none", typ: "dpop+jwt", jwk })}.${part(claims)}.`;
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", typ: "dpop+jwt", jwk })
      .sign(new TextEncoder().encode(JSON.stringify(jwk).padEnd(64)));
    const opened = await proofFor(agent, { header: { jwk: await exportJWK(workload.privateKey) } });
    for (const dpop of [bare, hmac, opened, "x"]) expect(await outcome({ agent, dpop })).toBe("token_proof");
  });
});

test("a token that is bound in two ways is refused, though one of them is proven", async () => {
  const jkt = await calculateJwkThumbprint(workload.jwk);
  const proven = async (cnf: object): Promise<string> => {
    const agent = await accessToken({ claims: { cnf } });
    const dpop = await sign({
      claims: { jti: crypto.randomUUID(), htm: "POST", htu: proofUrl, iat: now(), ath: hash(agent) },
      header: { typ: "dpop+jwt", kid: undefined, jwk: { ...workload.jwk, kid: undefined } },
      pair: workload,
    });
    return outcome({ agent, dpop });
  };
  expect(await proven({ jkt })).toBe("verified");
  expect(await proven({ jkt, "x5t#S256": "x" })).toBe("token_proof");
});

describe("a token that is bound to a client certificate", () => {
  const der = (pem: string): Buffer => Buffer.from(asField(pem).slice(1, -1), "base64");
  const thumbprintOf = (pem: string): string => sha256(der(pem)).toString("base64url");
  const x5t = { "x5t#S256": thumbprintOf(workerCertificate) };
  const bound = (cnf: object = x5t): Promise<string> => accessToken({ claims: { cnf } });

  test("is proven by the certificate that the caller forwards, whole or by its thumbprint", async () => {
    const agent = await bound();
    for (const shown of [
      { clientCertificate: asField(workerCertificate) },
      { clientCertificate: workerCertificate },
      { clientCertificateThumbprint: x5t["x5t#S256"] },
      { clientCertificate: workerCertificate, clientCertificateThumbprint: x5t["x5t#S256"] },
    ])
      expect(await verifier().verify({ agent, ...shown })).toMatchObject({
        tokens: [{ proven: true, certificate: x5t["x5t#S256"] }],
      });
  });

  test("is refused with another certificate, with none, and with what is none", async () => {
    const agent = await bound();
    const right = { clientCertificate: workerCertificate };
    const wrong: ForwardedTokens[] = [
      {},
      { clientCertificate: otherCertificate },
      { clientCertificateThumbprint: thumbprintOf(otherCertificate) },
      { ...right, clientCertificateThumbprint: thumbprintOf(otherCertificate) },
      { ...right, clientCertificateThumbprint: "x" },
      { clientCertificateThumbprint: der(workerCertificate).toString("hex").slice(0, 43) },
      { clientCertificate: x5t["x5t#S256"] },
      { clientCertificate: ":AAAA:" },
      { clientCertificate: `${otherCertificate}${workerCertificate}` },
      { clientCertificate: `${workerCertificate}${otherCertificate}` },
    ];
    for (const tokens of wrong)
      expect([tokens, await outcome({ agent, ...tokens })]).toEqual([tokens, "token_proof"]);
  });

  test("needs the proof of its key, too, where it is bound to both", async () => {
    const jkt = await calculateJwkThumbprint(workload.jwk);
    const agent = await bound({ ...x5t, jkt });
    const dpop = await sign({
      claims: { jti: crypto.randomUUID(), htm: "POST", htu: proofUrl, iat: now(), ath: hash(agent) },
      header: { typ: "dpop+jwt", kid: undefined, jwk: { ...workload.jwk, kid: undefined } },
      pair: workload,
    });
    const clientCertificate = workerCertificate;
    expect(await outcome({ agent, clientCertificate })).toBe("token_proof");
    expect(await outcome({ agent, dpop })).toBe("token_proof");
    expect(await outcome({ agent, dpop, clientCertificate })).toBe("verified");
  });

  test("must be bound in no other way besides", async () => {
    const agent = await bound({ ...x5t, jwk: workload.jwk });
    expect(await outcome({ agent, clientCertificate: workerCertificate })).toBe("token_proof");
  });

  test("proves nothing of a token beside it, and its certificate nothing without it", async () => {
    const clientCertificate = workerCertificate;
    const { verify } = verifier();
    expect(await verify({ agent: await accessToken(), clientCertificate })).toMatchObject({
      tokens: [{ proven: false }],
    });
    expect(
      await verify({ agent: await bound(), subject: await accessToken(), clientCertificate }),
    ).toMatchObject({
      tokens: [
        { slot: "subject", proven: false },
        { slot: "agent", proven: true },
      ],
    });
    expect(await outcome({ clientCertificate })).toBe("token_proof");
  });
});

test("what is refused never tells what the token says", async () => {
  for (const [, , forge] of wrongAccessTokens) {
    const agent = await accessToken({ ...forge(), claims: { filler: "hush", ...forge().claims } });
    const verification = await verifier().verify({ agent });
    expect(JSON.stringify(verification)).not.toMatch(/hush|alice|other\.example/);
  }
});
