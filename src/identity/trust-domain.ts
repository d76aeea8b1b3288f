/** SPIFFE trust domains: their names, and the keys that their bundles publish for one purpose each. */
import type { JWTVerifyGetKey } from "jose";
import { Problem } from "../kit/problem.ts";
import { errors } from "jose";
import { createKeySet, keysAt, keysInFile, type PublishedKeys } from "./key-set.ts";
import type { KeyTimes } from "./key-times.ts";

/** A trust domain whose workloads are believed, and where its bundle is: by URL or file. */
export type TrustDomain = {
  name: string;
  bundleUrl?: string;
  bundleFile?: string;
  /** Any of them must be in the `aud` of its JWT-SVIDs. */
  audiences: string[];
  /** The longest that a token of it may be valid for. */
  tokenLifetimeMaxSeconds: number;
};

/** SPIFFE-ID §2.1: lower case, digits, dots, hyphens, underscores. */
export const trustDomainPattern: RegExp = /^[a-z0-9._-]{1,255}$/;

const idBytesMax = 2048;

/**
 * The trust domain of a workload's id (SPIFFE-ID §2; WIMSE ids have the same form under their own scheme); nothing
 * for what isn't exactly one: no port, query, fragment, escapes, empty or dotted segments, trailing slash.
 */
export const trustDomainOf = (id: string): string | undefined => {
  const [, name, path] = /^(?:spiffe|wimse):\/\/([a-z0-9._-]{1,255})((?:\/[\w.-]+)+)$/.exec(id) ?? [];
  if (name === undefined || path === undefined || id.length > idBytesMax) return undefined;
  return path.split("/").some((segment) => segment === "." || segment === "..") ? undefined : name;
};

/** The bundle says how often it wants to be read (SPIFFE Trust Domain and Bundle §4.1.2); a minute to ten is heeded. */
const ageMaxMs = ({ spiffe_refresh_hint: hint = 300 }: PublishedKeys): number =>
  Math.min(Math.max(hint, 60), 600) * 1000;

/** A file is cheap to read, and a key that was taken out shall be out. */
const fileAgeMaxMs = 10_000;

/**
 * A look-up of a trust domain's keys for one purpose. Keys for others, X.509 above all, never verify a token.
 * The look-up throws Problem `not_ready` when the bundle can't be had.
 */
export const bundleKeys = (
  domain: TrustDomain,
  use: "jwt-svid" | "wit-svid",
  times: KeyTimes,
): JWTVerifyGetKey => {
  const { name, bundleUrl, bundleFile = "" } = domain;
  const find = createKeySet({
    read: bundleUrl === undefined ? keysInFile(bundleFile) : keysAt(bundleUrl, times.timeoutMs),
    // SPIFFE's values of `use` are none of JOSE's (RFC 7517 §4.2): jose would not take the key.
    select: ({ use: purpose, ...key }) => (purpose === use ? key : undefined),
    ageMaxMs: bundleUrl === undefined ? () => fileAgeMaxMs : ageMaxMs,
    times,
  });
  return async (header, token) => {
    try {
      return await find(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error;
      throw new Problem("not_ready", `the bundle of the trust domain \`${name}\` can't be had`, {
        cause: error,
      });
    }
  };
};
