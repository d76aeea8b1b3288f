/** OAuth 2.0 access tokens of callers (RFC 9068): verified against the issuers that callers are configured with. */
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
} from "jose";
import { Problem } from "../kit/problem.ts";
import type { Caller } from "./caller.ts";
import { issuerKeys } from "./issuer-keys.ts";
import { defaultAlgorithms, type TokenIssuer } from "./issuer.ts";
import { type KeyTimes, usualKeyTimes } from "./key-times.ts";

const lengthMax = 8192;

/** How far the clocks of issuer and service may be apart. */
export const toleranceSeconds = 30;

const refused = (cause: unknown): Problem =>
  new Problem("unauthenticated", "the access token is not accepted", { field: "authorization", cause });

export type TokenVerifier = (token: string, callers: readonly Caller[]) => Promise<Caller>;

/** The issuer that a token names. Only chooses which of the configured ones to verify against; nothing is believed. */
const claimedIssuer = (token: string): unknown => {
  try {
    // RFC 7515 §4.1.11: an extension that isn't understood must be refused; none is needed here, so none is.
    if (decodeProtectedHeader(token).crit !== undefined) throw refused("a critical header");
    return decodeJwt(token).iss;
  } catch (error) {
    throw error instanceof Problem ? error : refused(error);
  }
};

const isText = (value: unknown): boolean => typeof value === "string" && value !== "";

/** What RFC 9068 §2.2 requires beyond what jose checks. */
const checkClaims = ({ iat, sub, jti, cnf }: JWTPayload): void => {
  // Bound to a key or a certificate (RFC 9449, RFC 8705): nobody checks here that the caller holds it.
  if ((cnf ?? undefined) !== undefined) throw refused("a token that is bound is no bearer token");
  if (!isText(sub) || !isText(jti)) throw refused("sub and jti must be texts");
  if (typeof iat !== "number" || iat > Date.now() / 1000 + toleranceSeconds)
    throw refused("issued in the future");
};

/**
 * A verifier. A token is accepted when its issuer is one that a caller is configured with, its signature, `typ`,
 * audience and times hold (RFC 9068 §4), and `client_id` is that caller's.
 * @throws Problem `unauthenticated`; `not_ready` when the issuer's keys can't be had
 */
export const createTokenVerifier = (
  issuers: readonly TokenIssuer[],
  times: KeyTimes = usualKeyTimes,
  keysOf: (issuer: TokenIssuer) => JWTVerifyGetKey = (issuer) => issuerKeys(issuer, times),
): TokenVerifier => {
  const configured = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
  const keys = new Map<string, JWTVerifyGetKey>();
  const verify = async (token: string, issuer: TokenIssuer, mine: readonly Caller[]): Promise<Caller> => {
    const key = keys.get(issuer.issuer) ?? keysOf(issuer);
    keys.set(issuer.issuer, key);
    const { payload } = await jwtVerify(token, key, {
      issuer: issuer.issuer,
      audience: mine.flatMap(({ oauth }) => oauth?.audience ?? []),
      typ: "at+jwt",
      algorithms: issuer.algorithms,
      requiredClaims: ["exp", "iat", "sub", "client_id", "jti", "aud"],
      clockTolerance: toleranceSeconds,
    });
    checkClaims(payload);
    const audiences = new Set([payload.aud].flat());
    const caller = mine.find(
      ({ oauth }) => oauth?.clientId === payload["client_id"] && audiences.has(oauth?.audience),
    );
    if (!caller) throw refused("no caller of this client id and audience");
    return caller;
  };
  return async (token, callers) => {
    if (token.length > lengthMax) throw refused("longer than any token");
    const issuer = claimedIssuer(token);
    const mine = callers.filter(({ oauth }) => oauth !== undefined && oauth.issuer === issuer);
    if (typeof issuer !== "string" || mine.length === 0) throw refused("an issuer that no caller has");
    try {
      return await verify(
        token,
        configured.get(issuer) ?? { issuer, algorithms: [...defaultAlgorithms] },
        mine,
      );
    } catch (error) {
      if (error instanceof errors.JOSEError) throw refused(error);
      throw error;
    }
  };
};
