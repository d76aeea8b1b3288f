/** OAuth 2.0 access tokens of callers (RFC 9068): verified against the issuers that callers are configured with. */
import { decodeJwt, errors, jwtVerify, type JWTVerifyGetKey } from "jose";
import { Problem } from "../kit/problem.ts";
import type { Caller } from "./caller.ts";
import { issuerKeys } from "./issuer-keys.ts";

export type TokenIssuer = { issuer: string; jwksUri?: string; jwksFile?: string; algorithms: string[] };

/** Asymmetric only: with a shared secret, whoever verifies could also issue. */
export const defaultAlgorithms: readonly string[] = ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"];

const lengthMax = 8192;
const toleranceSeconds = 30;

const refused = (cause: unknown): Problem =>
  new Problem("unauthenticated", "the access token is not accepted", { field: "authorization", cause });

export type TokenVerifier = (token: string, callers: readonly Caller[]) => Promise<Caller>;

const claimedIssuer = (token: string): unknown => {
  try {
    return decodeJwt(token).iss;
  } catch (error) {
    throw refused(error);
  }
};

/**
 * A verifier. A token is accepted when its issuer is one that a caller is configured with, its signature, `typ`,
 * audience and times hold (RFC 9068 §4), and `client_id` is that caller's.
 * @throws Problem `unauthenticated`; `not_ready` when the issuer's keys can't be had
 */
export const createTokenVerifier = (issuers: readonly TokenIssuer[]): TokenVerifier => {
  const configured = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
  const keys = new Map<string, JWTVerifyGetKey>();
  const keysOf = (issuer: string): JWTVerifyGetKey => {
    const known = keys.get(issuer) ?? issuerKeys(configured.get(issuer) ?? { issuer });
    keys.set(issuer, known);
    return known;
  };
  const verify = async (token: string, issuer: string, mine: readonly Caller[]): Promise<Caller> => {
    const { payload } = await jwtVerify(token, keysOf(issuer), {
      issuer,
      audience: mine.flatMap(({ oauth }) => oauth?.audience ?? []),
      typ: "at+jwt",
      algorithms: configured.get(issuer)?.algorithms ?? [...defaultAlgorithms],
      requiredClaims: ["exp", "iat", "sub", "client_id", "jti", "aud"],
      clockTolerance: toleranceSeconds,
    });
    if (typeof payload.iat === "number" && payload.iat > Date.now() / 1000 + toleranceSeconds)
      throw refused("issued in the future");
    const audiences = new Set([payload.aud].flat());
    const caller = mine.find(
      ({ oauth }) => oauth?.clientId === payload["client_id"] && audiences.has(oauth?.audience),
    );
    if (!caller) throw refused("no caller of this client id and audience");
    return caller;
  };
  return async (token, callers) => {
    if (token.length > lengthMax) throw refused("longer than any token");
    // Only chooses which of the configured issuers to verify against; nothing is believed before that.
    const issuer = claimedIssuer(token);
    const mine = callers.filter(({ oauth }) => oauth !== undefined && oauth.issuer === issuer);
    if (typeof issuer !== "string" || mine.length === 0) throw refused("an issuer that no caller has");
    try {
      return await verify(token, issuer, mine);
    } catch (error) {
      if (error instanceof errors.JOSEError) throw refused(error);
      throw error;
    }
  };
};
