/**
 * The public keys of token issuers: from a file, a URL, or the issuer's own metadata (RFC 8414), never from anything a
 * token says. Keys that can't be had are an operating error, not a wrong token.
 */
import { readFileSync } from "node:fs";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from "jose";
import { z } from "zod";
import { Problem } from "../kit/problem.ts";

export type IssuerKeys = { issuer: string; jwksUri?: string; jwksFile?: string };

const timeoutMs = 3000;
const metadataBytesMax = 65_536;

const metadataShape = z.object({ issuer: z.string(), jwks_uri: z.string() });

const isSafe = (url: URL): boolean =>
  url.protocol === "https:" ||
  (url.protocol === "http:" && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname));

const safeUrl = (text: string): URL => {
  const url = new URL(text);
  if (!isSafe(url)) throw new Error(`\`${text}\` is neither https nor loopback`);
  return url;
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

const readMetadata = async (url: URL, issuer: string): Promise<URL> => {
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  const text = await response.text();
  if (text.length > metadataBytesMax) throw new Error(`${url.href} answered too much`);
  const metadata = metadataShape.parse(JSON.parse(text));
  if (metadata.issuer !== issuer) throw new Error(`${url.href} speaks for \`${metadata.issuer}\``);
  return safeUrl(metadata.jwks_uri);
};

const discover = async (issuer: string): Promise<URL> => {
  let failure: unknown;
  for (const url of metadataUrls(issuer)) {
    try {
      return await readMetadata(url, issuer);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
};

const remote = (url: URL): JWTVerifyGetKey =>
  createRemoteJWKSet(url, { timeoutDuration: timeoutMs, cooldownDuration: 10_000, cacheMaxAge: 600_000 });

const fileShape = z.custom<JSONWebKeySet>(
  (value) => typeof value === "object" && value !== null && "keys" in value && Array.isArray(value.keys),
  "expected a JSON Web Key Set",
);

/**
 * A look-up of an issuer's keys. Unknown key ids make it fetch anew, at most every ten seconds.
 * The look-up throws Problem `not_ready` when the keys can't be had
 */
export const issuerKeys = ({ issuer, jwksUri, jwksFile }: IssuerKeys): JWTVerifyGetKey => {
  if (jwksFile !== undefined)
    return createLocalJWKSet(fileShape.parse(JSON.parse(readFileSync(jwksFile, "utf8"))));
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const find = (): Promise<JWTVerifyGetKey> => {
    keys ??= (jwksUri === undefined ? discover(issuer) : Promise.resolve(safeUrl(jwksUri))).then(remote);
    keys.catch(() => {
      keys = undefined;
    });
    return keys;
  };
  return async (header, token) => {
    try {
      return await (
        await find()
      )(header, token);
    } catch (error) {
      // A key that isn't in the set is the token's fault; everything else is the issuer's or the network's.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error;
      throw new Problem("not_ready", `the keys of \`${issuer}\` can't be had`, { cause: error });
    }
  };
};
