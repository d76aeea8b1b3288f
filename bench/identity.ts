/**
 * What it costs to verify what callers forward, in process: `npm run bench:identity -- --count 1000`. Keys are read from files
 * and stay in memory, tokens and proofs are all different, and each is verified after the other; CPU time is that of all
 * threads. Last, what it costs that used proofs are kept: a commit each, or one of many.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { createIntrospection } from "../src/identity/introspection.ts";
import { createKeySources } from "../src/identity/key-sources.ts";
import { createReplayMemory } from "../src/identity/replays.ts";
import type { ProofCommand } from "../src/identity/store.ts";
import { createVerification, type ForwardedTokens, type Verify } from "../src/identity/verification.ts";
import { assert } from "../src/kit/assert.ts";
import { sha256 } from "../src/kit/digest.ts";
import { openLedger } from "../src/store/sqlite/ledger.ts";
import { figure, percentile, tableText } from "./statistics.ts";

const { values } = parseArgs({ options: { count: { type: "string", default: "1000" } } });
const count = Number(values.count);

const issuer = "https://login.example.org";
const audience = "https://tools.example.org";
const url = "https://tools.example.org/mcp";
const spiffeId = "spiffe://example.org/agents/auditor";

type Pair = { alg: string; kid: string; privateKey: CryptoKey; jwk: JWK };

const pairOf = async (alg: string, use: string): Promise<Pair> => {
  const kid = `${use}-${alg}`;
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, jwk: { ...(await exportJWK(publicKey)), alg, kid, use } };
};

const pairsOf = async (algs: readonly string[], use: string): Promise<Map<string, Pair>> =>
  new Map(await Promise.all(algs.map(async (alg) => [alg, await pairOf(alg, use)] as const)));

const all = ["EdDSA", "ES256", "RS256"];
// SPIFFE has no EdDSA.
const spiffe = ["ES256", "RS256"];
const issuerPairs = await pairsOf(all, "sig");
const svidPairs = await pairsOf(spiffe, "jwt-svid");
const witPairs = await pairsOf(spiffe, "wit-svid");
const holders = await pairsOf(all, "holder");

const sign = (
  { alg, kid, privateKey }: Pair,
  claims: Record<string, unknown>,
  header: Record<string, unknown> = {},
): Promise<string> => new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);

const now = Math.floor(Date.now() / 1000);
const hash = (token: string): string => sha256(token).toString("base64url");

const accessToken = (pair: Pair, n: number, cnf?: object): Promise<string> =>
  sign(
    pair,
    {
      iss: issuer,
      aud: audience,
      sub: "alice",
      client_id: "auditor",
      jti: `t-${n}`,
      iat: now,
      exp: now + 900,
      ...(cnf ? { cnf } : {}),
    },
    { typ: "at+jwt" },
  );

type Case = { name: string; make: (n: number) => Promise<ForwardedTokens> };

const dpopTokens = async (pair: Pair, holder: Pair, n: number): Promise<ForwardedTokens> => {
  const { kid: _kid, use: _use, alg: _alg, ...jwk } = holder.jwk;
  const agent = await accessToken(pair, n, { jkt: await calculateJwkThumbprint(jwk) });
  const claims = { jti: `d-${n}`, htm: "POST", htu: url, iat: now, ath: hash(agent) };
  return { agent, dpop: await sign(holder, claims, { typ: "dpop+jwt", jwk, kid: undefined }) };
};

const witTokens = async (pair: Pair, holder: Pair, n: number): Promise<ForwardedTokens> => {
  const { kid: _kid, use: _use, ...jwk } = holder.jwk;
  const wit = await sign(
    pair,
    { sub: spiffeId, exp: now + 900, jti: `w-${n}`, cnf: { jwk } },
    { typ: "wit+jwt" },
  );
  const claims = { aud: url, exp: now + 120, jti: `p-${n}`, wth: hash(wit) };
  return { wit, wpt: await sign(holder, claims, { typ: "wpt+jwt", kid: undefined }) };
};

const cases: Case[] = [
  ...all.map((alg): Case => ({
    name: `at+jwt ${alg}`,
    make: async (n) => ({ agent: await accessToken(issuerPairs.get(alg)!, n) }),
  })),
  ...spiffe.map((alg): Case => ({
    name: `JWT-SVID ${alg}`,
    make: async (n) => ({
      agent: await sign(svidPairs.get(alg)!, { sub: spiffeId, aud: audience, exp: now + 900, jti: `s-${n}` }),
    }),
  })),
  ...all.map((alg): Case => ({
    name: `at+jwt ES256 + DPoP ${alg}`,
    make: (n) => dpopTokens(issuerPairs.get("ES256")!, holders.get(alg)!, n),
  })),
  ...all.map((alg): Case => ({
    name: `WIT ES256 + WPT ${alg}`,
    make: (n) => witTokens(witPairs.get("ES256")!, holders.get(alg)!, n),
  })),
];

const dir = mkdtempSync(join(tmpdir(), "remit-bench-"));

const keysOf = (pairs: Map<string, Pair>): JWK[] => [...pairs.values()].map(({ jwk }) => jwk);

const verifier = (): Verify => {
  const jwksFile = join(dir, "jwks.json");
  const bundleFile = join(dir, "bundle.json");
  writeFileSync(jwksFile, JSON.stringify({ keys: keysOf(issuerPairs) }));
  writeFileSync(bundleFile, JSON.stringify({ keys: [...keysOf(svidPairs), ...keysOf(witPairs)] }));
  const issuers = [
    {
      issuer,
      jwksFile,
      algorithms: all,
      audiences: [audience],
      tokenLifetimeMaxSeconds: 3600,
      userClients: [],
      actorIssuers: [],
    },
  ];
  const trustDomains = [
    { name: "example.org", bundleFile, audiences: [audience], tokenLifetimeMaxSeconds: 3600 },
  ];
  const sources = createKeySources({ issuers, trustDomains });
  const memory = createReplayMemory();
  return createVerification({
    issuers,
    trustDomains,
    chainLengthMax: 8,
    sources,
    introspect: createIntrospection(sources),
    replays: (proof, nowMs) => Promise.resolve(memory(proof, nowMs)),
  });
};

const row = (name: string, micros: readonly number[], cpuMicros: number): string[] => [
  name,
  figure(percentile(micros, 0.5)),
  figure(percentile(micros, 0.99)),
  figure(cpuMicros),
];

const measured = async (verify: Verify, { name, make }: Case): Promise<string[]> => {
  const made = await Promise.all(Array.from({ length: count + 100 }, (_, n) => make(n)));
  const micros: number[] = [];
  let before = process.cpuUsage();
  for (const [n, tokens] of made.entries()) {
    // What is warmed up isn't counted.
    if (n === 100) before = process.cpuUsage();
    const start = performance.now();
    const verification = await verify({ tokens, proofUrls: [url], nowMs: Date.now() });
    if (n >= 100) micros.push((performance.now() - start) * 1000);
    assert("tokens" in verification, `${name}: ${JSON.stringify(verification)}`);
  }
  const { user, system } = process.cpuUsage(before);
  return row(name, micros, (user + system) / count);
};

const refuse = (): never => {
  throw new Error("nothing is decided here");
};

const proof = (n: number): ProofCommand => ({
  key: hash(`key-${n % 100}`),
  jti: hash(`jti-${n}`),
  until: (now + 330) * 1_000_000,
  at: now * 1_000_000,
});

/** Proofs kept, so many in one commit. */
const remembered = (group: number): string[] => {
  const ledger = openLedger(join(dir, `${group}.db`), { judge: refuse, admit: refuse, engine: "reference" });
  const micros: number[] = [];
  const before = process.cpuUsage();
  for (let n = 0; n < count; n += group) {
    const commands = Array.from({ length: group }, (_, at) => ({
      kind: "proof" as const,
      command: proof(n + at),
    }));
    const start = performance.now();
    ledger.commit(commands);
    micros.push((performance.now() - start) * 1000);
  }
  const { user, system } = process.cpuUsage(before);
  ledger.close();
  return row(`proofs kept, ${group} in a commit`, micros, (user + system) / count);
};

try {
  const verify = verifier();
  const rows = [];
  for (const each of cases) rows.push(await measured(verify, each));
  for (const group of [1, 64]) rows.push(remembered(group));
  const load = loadavg()[0]!.toFixed(1);
  process.stdout.write(`node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${load}\n\n`);
  process.stdout.write(`${tableText([["verified", "p50 µs", "p99 µs", "CPU µs each"], ...rows])}\n`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
