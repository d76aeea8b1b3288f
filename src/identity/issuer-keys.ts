/**
 * The public keys of token issuers: from a file, a URL, or the issuer's own metadata (RFC 8414), never from anything a
 * token says. Keys that can't be had are an operating error, not a wrong token.
 */
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import { Problem } from "../kit/problem.ts";
import { isSafeUrl, type TokenIssuer } from "./issuer.ts";
import { createKeySet, keysInFile } from "./key-set.ts";
import { type KeyTimes, usualKeyTimes } from "./key-times.ts";

const metadataBytesMax = 65_536;

const metadataShape = z.object({ issuer: z.string(), jwks_uri: z.string() });

const safeUrl = (text: string): URL => {
  if (!isSafeUrl(text)) throw new Error(`\`${text}\` is neither https nor loopback`);
  return new URL(text);
};

/** RFC 8414 §3 puts the well-known part between host and path; OpenID Connect Discovery §4 appends its own. */
const metadataUrls = (issuer: string): URL[] => {
  const url = safeUrl(issuer);
  const path = url.pathname.replace(/\/$/, "");
  return [
    new URL(`${url.origin}/.well-known/oauth-authorization-server${path}`),
    new URL(`${url.origin}${path}/.well-known/openid-configuration`),
  ];
};

const readMetadata = async (url: URL, issuer: string, timeoutMs: number): Promise<URL> => {
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  const text = await response.text();
  if (text.length > metadataBytesMax) throw new Error(`${url.href} answered too much`);
  const metadata = metadataShape.parse(JSON.parse(text));
  // RFC 8414 §3.3: metadata of another issuer must not be used.
  if (metadata.issuer !== issuer) throw new Error(`${url.href} speaks for \`${metadata.issuer}\``);
  return safeUrl(metadata.jwks_uri);
};

const discover = async (issuer: string, timeoutMs: number): Promise<URL> => {
  let failure: unknown;
  for (const url of metadataUrls(issuer)) {
    try {
      return await readMetadata(url, issuer, timeoutMs);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
};

/** How long keys on disk are relied on: reading them costs little, and one that was taken out shall be out. */
const fileAgeMaxMs = 10_000;

const fromFile = (path: string, times: KeyTimes): JWTVerifyGetKey =>
  createKeySet({ read: keysInFile(path), select: (key) => key, ageMaxMs: () => fileAgeMaxMs, times });

/** Asks, but after a failure not again for a while: whoever sends tokens can't make the service hammer an issuer. */
const unlessJustFailed = <T>(ask: () => Promise<T>, retryMs: number): (() => Promise<T>) => {
  let failure: { at: number; error: unknown } | undefined;
  return async () => {
    if (failure && performance.now() - failure.at < retryMs) throw failure.error;
    try {
      return await ask();
    } catch (error) {
      failure = { at: performance.now(), error };
      throw error;
    }
  };
};

const remote = (url: URL, { timeoutMs, cooldownMs, retryMs }: KeyTimes): JWTVerifyGetKey => {
  const fetchSet = unlessJustFailed(async () => {
    const response = await fetch(url, {
      redirect: "error",
      headers: { Accept: "application/jwk-set+json, application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) throw new Error(`${url.href} answered ${response.status}`);
    return response;
  }, retryMs);
  return createRemoteJWKSet(url, {
    timeoutDuration: timeoutMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: 600_000,
    [customFetch]: fetchSet,
  });
};

/** A look-up at a URL, for which the issuer has to be asked first where it isn't configured. */
const fromIssuer = ({ issuer, jwksUri }: TokenIssuer, times: KeyTimes): JWTVerifyGetKey => {
  const find = unlessJustFailed(
    async () =>
      remote(jwksUri === undefined ? await discover(issuer, times.timeoutMs) : safeUrl(jwksUri), times),
    times.retryMs,
  );
  let keys: Promise<JWTVerifyGetKey> | undefined;
  return async (header, token) => {
    keys ??= find();
    let known: JWTVerifyGetKey;
    try {
      known = await keys;
    } catch (error) {
      keys = undefined;
      throw error;
    }
    return known(header, token);
  };
};

/**
 * A look-up of an issuer's keys; an unknown key id makes it look anew.
 * The look-up throws Problem `not_ready` when the keys can't be had
 */
export const issuerKeys = (issuer: TokenIssuer, times: KeyTimes = usualKeyTimes): JWTVerifyGetKey => {
  const find = issuer.jwksFile === undefined ? fromIssuer(issuer, times) : fromFile(issuer.jwksFile, times);
  return async (header, token) => {
    try {
      return await find(header, token);
    } catch (error) {
      // A key that isn't in the set is the token's fault; everything else is the issuer's or the network's.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error;
      throw new Problem("not_ready", `the keys of \`${issuer.issuer}\` can't be had`, { cause: error });
    }
  };
};
