/** Signed metadata: what our own client makes of what our own service signs, before and after a change of keys. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestService, type TestService } from "../../conformance-tests/service.ts";
import { changeMetadataKeys } from "../app-metadata.ts";
import { createMetadataSigner } from "../authzen/metadata-signature.ts";
import { metadataKeys } from "../authzen/metadata-keys.ts";
import { createClient } from "../client/index.ts";
import type { KeyChange } from "../app-metadata.ts";

type Texts = Record<string, string>;
type KeySet = { keys: { kty: string; kid: string; x: string; y: string; [name: string]: string }[] };

const identity = "https://pdp.example.com/pdp";
const question = {
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};

let service: TestService;

beforeAll(async () => {
  service = await startTestService({ settings: { identity } });
});
afterAll(() => service.close());

const get = async (path: string): Promise<{ status: number; body: unknown; headers: Headers }> => {
  const response = await fetch(service.url + path);
  return { status: response.status, body: await response.json(), headers: response.headers };
};
const metadata = async (): Promise<Texts> =>
  (await get("/.well-known/authzen-configuration/pdp")).body as Texts;
const keySet = async (): Promise<KeySet> => (await get("/pdp/access/v1/keys")).body as KeySet;
const change = async (how: KeyChange): Promise<KeySet> =>
  (await changeMetadataKeys(service.config, how)) as KeySet;

/** A client that knows the PDP by its public name, which leads here. */
const clientOf = (keys: KeySet, issuer = identity): ReturnType<typeof createClient> =>
  createClient({
    pdp: identity,
    metadataKeys: { keys, issuer },
    fetch: (url, init) => fetch(url.replace("https://pdp.example.com", service.url), init),
  });

const decide = async (keys: KeySet, issuer?: string): Promise<unknown> => {
  const decided = await clientOf(keys, issuer).evaluate(question);
  return decided.decision || decided.reason;
};

describe("what is signed", () => {
  test("MD8 MD9 MD10 MD11: every parameter, for the PDP itself, and never a signature", async () => {
    const { signed_metadata: token, ...plain } = await metadata();
    const { payload, protectedHeader } = await jwtVerify(token!, createLocalJWKSet(await keySet()), {
      issuer: identity,
      algorithms: ["ES256"],
    });
    const { iat, exp, ...claims } = payload;
    expect(claims).toEqual({ ...plain, iss: identity });
    expect(exp! - iat!).toBe(86_400 + 3600);
    expect(protectedHeader).toEqual({ alg: "ES256", typ: "JWT", kid: (await keySet()).keys[0]!.kid });
  });

  test("MD5 MD7 MD16 MD17: it names the searches and the keys, no capabilities, and nothing null or empty", async () => {
    const body = await metadata();
    expect(Object.keys(body)).toEqual([
      "policy_decision_point",
      "access_evaluation_endpoint",
      "access_evaluations_endpoint",
      "search_subject_endpoint",
      "search_resource_endpoint",
      "search_action_endpoint",
      "jwks_uri",
      "signed_metadata",
    ]);
    expect(body["jwks_uri"]).toBe("https://pdp.example.com/pdp/access/v1/keys");
  });

  test("the same metadata bears the same signature, so that its tag is worth something", async () => {
    const [first, second] = [await metadata(), await metadata()];
    expect(second).toEqual(first);
  });

  test("MD18: any other well-known path is a 404", async () => {
    for (const path of ["", "/pdp/x", "/pdp/"].map((end) => `/.well-known/authzen-configuration${end}`))
      expect((await get(path)).status).toBe(404);
    for (const path of ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/"])
      expect((await get(path)).status).toBe(404);
  });

  test("nobody but the service's own user reads the key, and the private half is nowhere published", async () => {
    expect(statSync(join(service.dir, "data/metadata.key")).mode & 0o777).toBe(0o600);
    const { headers } = await get("/pdp/access/v1/keys");
    expect(headers.get("content-type")).toBe("application/jwk-set+json");
    expect(headers.get("cache-control")).toBe("public, max-age=3600");
    const [key] = (await keySet()).keys;
    expect(Object.keys(key!).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
    expect(readFileSync(join(service.dir, "data/metadata.key"), "utf8")).toContain('"d"');
  });
});

describe("what our client makes of it", () => {
  test("MD12 MD20 MD21: it asks where signed metadata says, with keys that it trusts", async () => {
    expect(await decide(await keySet())).toBe(true);
  });

  test("MD22: another issuer's signature, and another's key, is no metadata", async () => {
    expect(await decide(await keySet(), "https://other.example.com")).toBe("metadata_signature");
    const [key] = (await keySet()).keys;
    const other = { ...key!, x: key!.y, y: key!.x };
    expect(await decide({ keys: [other] })).toBe("metadata_signature");
  });

  test("a new key signs without a restart; the one before stays published until it is retired", async () => {
    const before = await keySet();
    const old = before.keys[0]!.kid;
    const signedBefore = (await metadata())["signed_metadata"]!;
    const rotated = await change({ rotate: true });
    expect(await keySet()).toEqual(rotated);
    expect(rotated.keys.map(({ kid }) => kid)).toEqual([rotated.keys[0]!.kid, old]);
    const signed = (await metadata())["signed_metadata"]!;
    expect(decodeProtectedHeader(signed).kid).toBe(rotated.keys[0]!.kid);
    expect(decodeJwt(signed).iss).toBe(identity);
    expect(await decide(rotated)).toBe(true);
    expect(await decide(before)).toBe("metadata_signature");
    const all = createLocalJWKSet(rotated);
    await expect(jwtVerify(signedBefore, all)).resolves.toBeDefined();
    expect(readFileSync(join(service.dir, "data/metadata.key"), "utf8").match(/"d"/g)).toHaveLength(1);
    const signing = rotated.keys[0]!.kid;
    await expect(change({ retire: signing })).rejects.toMatchObject({
      code: "conflict",
    });
    await expect(change({ retire: "x" })).rejects.toMatchObject({
      code: "not_found",
    });
    await change({ retire: old });
    expect((await keySet()).keys.map(({ kid }) => kid)).toEqual([signing]);
  });
});

test("a signature is made anew before it could run out in somebody's cache", async () => {
  const data = join(service.dir, "data");
  await metadataKeys(data);
  const start = Date.UTC(2026, 10, 25) * 1000;
  let at = start;
  const signer = createMetadataSigner(data, { clock: () => at, maxAgeSeconds: 600 });
  const body = { policy_decision_point: identity };
  const first = await signer.sign(body);
  at = start + 86_399_000_000;
  expect(await signer.sign(body)).toBe(first);
  at = start + 86_400_000_000;
  const second = await signer.sign(body);
  expect(decodeJwt(second).iat).toBe(decodeJwt(first).iat! + 86_400);
  expect(decodeJwt(first).exp! * 1_000_000 - at).toBe(600_000_000);
});
