/** Proof that whoever acts holds the key its token is bound to: DPoP (RFC 9449) and WIMSE's WIT with WPT. */
import {
  calculateJwkThumbprint,
  decodeProtectedHeader,
  EmbeddedJWK,
  importJWK,
  type JWK,
  type JWTPayload,
  jwtVerify,
} from "jose";
import { sha256 } from "../kit/digest.ts";
import { isObject } from "../kit/json.ts";
import { toleranceSeconds } from "./access-token.ts";
import { checkLifetime } from "./claims.ts";
import {
  domainOf,
  type Forwarded,
  type ForwardedParts,
  readUnverified,
  svidAlgorithms,
  verified,
} from "./forwarded-token.ts";
import type { Proof } from "./replays.ts";
import { TokenRefused } from "./token-refusal.ts";

/** What a proof has to be for. */
export type Target = {
  /** Where callers take requests: a URL itself, or, where it ends in `/`, everything below it. */
  urls: readonly string[];
  /** The request that the agent made, where the caller tells. */
  url?: string;
  method?: string;
  nowMs: number;
};

/** How old a DPoP proof may be, and how long a WPT may live. */
const dpopAgeMaxSeconds = 60;
const wptLifetimeMaxSeconds = 300;
const jtiLengthMax = 256;

const algorithms = [...svidAlgorithms, "EdDSA", "Ed25519"];

export const hashOf = (text: string): string => sha256(text).toString("base64url");

const refused = (detail: string): TokenRefused => new TokenRefused("token_proof", detail);

/** Without query and fragment, as both proofs want it; scheme, host and dots normalised (RFC 9449 §4.3). */
const bare = (text: string): string | undefined => {
  if (!URL.canParse(text)) return undefined;
  const { origin, pathname, username, password } = new URL(text);
  return origin === "null" || username !== "" || password !== "" ? undefined : `${origin}${pathname}`;
};

const checkUrl = (claimed: unknown, { urls, url }: Target, what: string): void => {
  const made = typeof claimed === "string" ? bare(claimed) : undefined;
  const taken =
    made !== undefined &&
    urls.some((each) => {
      const known = bare(each)!;
      return made === known || (known.endsWith("/") && made.startsWith(known));
    });
  if (!taken) throw refused(`the ${what} is for a URL that isn't the caller's`);
  if (url !== undefined && bare(url) !== made) throw refused(`the ${what} is for another URL`);
};

const checkJti = ({ jti }: JWTPayload, what: string): string => {
  if (typeof jti !== "string" || jti === "" || jti.length > jtiLengthMax)
    throw refused(`the ${what} has no usable \`jti\``);
  return jti;
};

/** Verifies a proof by what it says itself; nothing but the proof can be at fault. */
const verifyProof = async (
  proof: string,
  typ: string,
  key: Parameters<typeof jwtVerify>[1],
  nowMs: number,
): Promise<JWTPayload> => {
  readUnverified(proof, "proof", "token_proof");
  try {
    const { payload } = await jwtVerify(proof, key, {
      typ,
      algorithms,
      clockTolerance: toleranceSeconds,
      currentDate: new Date(nowMs),
    });
    return payload;
  } catch {
    throw refused(`the proof is no valid \`${typ}\``);
  }
};

/**
 * Verifies a DPoP proof for a token that is bound to `jkt`.
 * @throws TokenRefused
 */
export const verifyDpop = async (
  proof: string,
  { token, jkt }: { token: string; jkt: string },
  target: Target,
): Promise<Proof> => {
  const payload = await verifyProof(proof, "dpop+jwt", EmbeddedJWK, target.nowMs);
  const thumbprint = await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk!);
  if (thumbprint !== jkt) throw refused("the proof is signed with another key than the token's");
  if (payload["ath"] !== hashOf(token)) throw refused("the `ath` of the proof is another token's");
  const { htm, htu } = payload;
  if (typeof htm !== "string" || (target.method !== undefined && htm !== target.method))
    throw refused("the proof is for another method");
  checkUrl(htu, target, "proof");
  const { iat } = payload;
  const now = target.nowMs / 1000;
  if (
    typeof iat !== "number" ||
    iat > now + toleranceSeconds ||
    iat < now - dpopAgeMaxSeconds - toleranceSeconds
  )
    throw refused("the proof is not of this minute");
  const until = (iat + dpopAgeMaxSeconds + toleranceSeconds + 1) * 1000;
  return { key: jkt, jti: checkJti(payload, "proof"), until };
};

export type Workload = { forwarded: Forwarded & { jkt: string }; key: JWK & { alg: string } };

/**
 * Verifies a workload identity token: whose it is and which key it is bound to. It proves nothing by itself.
 * @throws TokenRefused
 */
export const verifyWit = async (
  wit: string,
  { trustDomains, sources }: ForwardedParts,
  nowMs: number,
): Promise<Workload> => {
  const { claims, kid } = readUnverified(wit, "WIT");
  const domain = domainOf(claims.sub, trustDomains, "WIT");
  if (typeof kid !== "string") throw new TokenRefused("token_issuer", "the WIT names no key");
  const payload = await verified(wit, sources.ofTrustDomain(domain, "wit-svid"), {
    what: "WIT",
    nowMs,
    typ: "wit+jwt",
    algorithms: svidAlgorithms,
    requiredClaims: ["sub", "exp", "cnf"],
  });
  // It is shown to many, so it is for nobody in particular (WIT-SVID §3).
  if (payload.aud !== undefined) throw new TokenRefused("token_audience", "a WIT has no audience");
  checkLifetime(payload, {
    nowSeconds: Math.floor(nowMs / 1000),
    maxSeconds: domain.tokenLifetimeMaxSeconds,
    toleranceSeconds,
  });
  const bound = isObject(payload["cnf"]) ? payload["cnf"]["jwk"] : undefined;
  const key = isObject(bound) ? bound : undefined;
  const alg = key?.["alg"];
  if (!key || typeof alg !== "string" || !algorithms.includes(alg))
    throw refused("the WIT is bound to no key of a usable algorithm");
  let jkt: string;
  try {
    jkt = await calculateJwkThumbprint(key);
  } catch {
    throw refused("the WIT is bound to no usable key");
  }
  return {
    key: { ...key, alg },
    forwarded: {
      kind: "wit",
      issuer: `spiffe://${domain.name}`,
      ...(typeof payload.jti === "string" && payload.jti.length <= jtiLengthMax ? { jti: payload.jti } : {}),
      client: { spiffeId: payload.sub! },
      actors: [],
      userClient: false,
      jkt,
    },
  };
};

/**
 * Verifies a workload proof token for a WIT, and for the access token beside it where there is one.
 * @throws TokenRefused
 */
export const verifyWpt = async (
  wpt: string,
  { wit, workload, token }: { wit: string; workload: Workload; token: string | undefined },
  target: Target,
): Promise<Proof> => {
  const { key, forwarded } = workload;
  const { alg } = readProofHeader(wpt);
  if (alg !== key.alg) throw refused("the proof is signed with another algorithm than the WIT's key has");
  let publicKey: Awaited<ReturnType<typeof importJWK>>;
  try {
    publicKey = await importJWK(key, key.alg);
  } catch {
    throw refused("the WIT is bound to no usable key");
  }
  if (!("type" in publicKey) || publicKey.type !== "public")
    throw refused("the WIT is bound to no public key");
  const payload = await verifyProof(wpt, "wpt+jwt", publicKey, target.nowMs);
  if (payload["wth"] !== hashOf(wit)) throw refused("the `wth` of the proof is another WIT's");
  if (payload["ath"] !== (token === undefined ? undefined : hashOf(token)))
    throw refused("the `ath` of the proof is not the access token's");
  // Hashes of tokens that are not here can't be checked.
  if (payload["tth"] !== undefined || payload["oth"] !== undefined)
    throw refused("the proof covers tokens that were not forwarded");
  checkUrl(payload.aud, target, "proof");
  const { exp } = payload;
  if (typeof exp !== "number" || exp > target.nowMs / 1000 + wptLifetimeMaxSeconds + toleranceSeconds)
    throw refused(`the proof must expire within ${wptLifetimeMaxSeconds} seconds`);
  const until = (exp + toleranceSeconds + 1) * 1000;
  return { key: forwarded.jkt, jti: checkJti(payload, "proof"), until };
};

const readProofHeader = (proof: string): { alg?: string } => {
  try {
    return decodeProtectedHeader(proof);
  } catch {
    throw refused("the proof is no JWT");
  }
};
