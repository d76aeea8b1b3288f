/**
 * Tokens that a caller forwards about who acts: RFC 9068 access tokens, opaque ones, and JWT-SVIDs. Each is verified
 * against what is configured for its issuer or trust domain; what it says of itself chooses only which that is.
 */
import { decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify, type JWTVerifyOptions } from "jose";
import { toleranceSeconds } from "./access-token.ts";
import {
  type AccessClaims,
  type Binding,
  bindingIn,
  checkLifetime,
  type Parties,
  type Party,
  partiesIn,
} from "./claims.ts";
import type { Introspect } from "./introspection.ts";
import type { ForwardedIssuer } from "./issuer.ts";
import type { KeySources } from "./key-sources.ts";
import { refusalOf, TokenRefused } from "./token-refusal.ts";
import { type TrustDomain, trustDomainOf } from "./trust-domain.ts";

export type Slot = "subject" | "agent" | "wit";

/** A verified token, without the token. One that is bound counts for nothing without proof. */
export type Forwarded = {
  kind: "access_token" | "opaque" | "jwt_svid" | "wit";
  /** The issuer, or the trust domain. */
  issuer: string;
  jti?: string;
  client: Party;
  actors: Party[];
  /** Only access tokens say on whose behalf. */
  principal?: Parties["principal"];
  /** The client is a person's own application, and no agent. */
  userClient: boolean;
} & Binding;

export type ForwardedParts = {
  issuers: readonly ForwardedIssuer[];
  trustDomains: readonly TrustDomain[];
  sources: KeySources;
  introspect: Introspect;
  chainLengthMax: number;
};

const jtiLengthMax = 256;

/** Three parts in base64url: a JWS; everything else is opaque. */
const jwsPattern = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** JWT-SVID §3.1 leaves no other algorithms. */
export const svidAlgorithms: string[] = ["ES", "PS", "RS"].flatMap((family) =>
  ["256", "384", "512"].map((size) => `${family}${size}`),
);

type Unverified = { typ: string; kid: unknown; claims: JWTPayload };

/** @throws TokenRefused for what is no JWT, or demands an extension: none is understood (RFC 7515 §4.1.11) */
export const readUnverified = (
  token: string,
  what: string,
  broken: "token_type" | "token_proof" = "token_type",
): Unverified => {
  try {
    const { crit, typ, kid } = decodeProtectedHeader(token);
    if (crit !== undefined) throw new TokenRefused("token_crit", `the ${what} has critical headers`);
    const type: unknown = typ ?? "";
    return {
      typ: typeof type === "string" ? type.toLowerCase().replace(/^application\//, "") : "?",
      kid,
      claims: decodeJwt(token),
    };
  } catch (error) {
    if (error instanceof TokenRefused) throw error;
    throw new TokenRefused(broken, `the ${what} is no JWT`);
  }
};

/** Runs a verification. @throws TokenRefused */
export const verified = async (
  token: string,
  key: Parameters<typeof jwtVerify>[1],
  options: JWTVerifyOptions & { what: string; nowMs: number },
): Promise<JWTPayload> => {
  try {
    const { payload } = await jwtVerify(token, key, {
      ...options,
      clockTolerance: toleranceSeconds,
      currentDate: new Date(options.nowMs),
    });
    return payload;
  } catch (error) {
    throw refusalOf(error, options.what);
  }
};

const jtiOf = ({ jti }: AccessClaims): { jti?: string } =>
  typeof jti === "string" && jti.length <= jtiLengthMax ? { jti } : {};

const lifetime = (nowMs: number, maxSeconds: number): Parameters<typeof checkLifetime>[1] => ({
  nowSeconds: Math.floor(nowMs / 1000),
  maxSeconds,
  toleranceSeconds,
});

const accessTokenOf = (
  kind: "access_token" | "opaque",
  claims: AccessClaims,
  issuer: ForwardedIssuer,
  chainLengthMax: number,
): Forwarded => {
  const parties = partiesIn(claims, issuer, chainLengthMax);
  const binding = bindingIn(claims);
  return {
    kind,
    issuer: issuer.issuer,
    ...jtiOf(claims),
    ...parties,
    userClient: "clientId" in parties.client && issuer.userClients.includes(parties.client.clientId),
    ...binding,
  };
};

const verifyAccessToken = async (
  token: string,
  { claims }: Unverified,
  { issuers, sources, chainLengthMax }: ForwardedParts,
  nowMs: number,
): Promise<Forwarded> => {
  const issuer = issuers.find((each) => each.issuer === claims.iss);
  if (!issuer) throw new TokenRefused("token_issuer", "the issuer of the access token isn't configured");
  const payload = await verified(token, sources.ofIssuer(issuer), {
    what: "access token",
    nowMs,
    issuer: issuer.issuer,
    audience: issuer.audiences,
    typ: "at+jwt",
    algorithms: issuer.algorithms,
    requiredClaims: ["exp", "iat", "sub", "client_id", "jti", "aud"],
  });
  checkLifetime(payload, lifetime(nowMs, issuer.tokenLifetimeMaxSeconds));
  return accessTokenOf("access_token", payload, issuer, chainLengthMax);
};

/** The configured domain of an unverified SPIFFE ID, and of no other id. @throws TokenRefused */
export const domainOf = (sub: unknown, domains: readonly TrustDomain[], what: string): TrustDomain => {
  const name = typeof sub === "string" ? trustDomainOf(sub) : undefined;
  const domain = domains.find((each) => each.name === name);
  if (!domain) throw new TokenRefused("token_issuer", `the trust domain of the ${what} isn't configured`);
  return domain;
};

const verifySvid = async (
  token: string,
  { kid, claims }: Unverified,
  { trustDomains, sources }: ForwardedParts,
  nowMs: number,
): Promise<Forwarded> => {
  const domain = domainOf(claims.sub, trustDomains, "JWT-SVID");
  // Without a key id, a set of one key would be taken for the one that was meant.
  if (typeof kid !== "string") throw new TokenRefused("token_issuer", "the JWT-SVID names no key");
  const payload = await verified(token, sources.ofTrustDomain(domain, "jwt-svid"), {
    what: "JWT-SVID",
    nowMs,
    audience: domain.audiences,
    algorithms: svidAlgorithms,
    requiredClaims: ["sub", "aud", "exp"],
  });
  checkLifetime(payload, lifetime(nowMs, domain.tokenLifetimeMaxSeconds));
  // A binding that nobody checks would make a bearer token of it.
  if (Object.keys(bindingIn(payload)).length > 0)
    throw new TokenRefused("token_proof", "a JWT-SVID can't be bound");
  return {
    kind: "jwt_svid",
    issuer: `spiffe://${domain.name}`,
    ...jtiOf(payload),
    client: { spiffeId: payload.sub! },
    actors: [],
    userClient: false,
  };
};

const verifyOpaque = async (token: string, parts: ForwardedParts, nowMs: number): Promise<Forwarded> => {
  const candidates = parts.issuers.filter(
    ({ introspection }) => introspection !== undefined && token.startsWith(introspection.tokenPrefix),
  );
  // The longest beginning says most about whose it is; nobody else gets to see the token.
  const issuer = candidates.sort(
    (a, b) => b.introspection!.tokenPrefix.length - a.introspection!.tokenPrefix.length,
  )[0];
  if (!issuer) throw new TokenRefused("token_issuer", "no issuer is configured to be asked about the token");
  let claims: AccessClaims;
  try {
    claims = await parts.introspect(token, issuer, nowMs);
  } catch (error) {
    throw refusalOf(error, "opaque token");
  }
  checkLifetime(claims, lifetime(nowMs, issuer.tokenLifetimeMaxSeconds));
  return accessTokenOf("opaque", claims, issuer, parts.chainLengthMax);
};

/** Verifies one token. @throws TokenRefused */
export const verifyForwarded = async (
  token: string,
  parts: ForwardedParts,
  nowMs: number,
): Promise<Forwarded> => {
  if (!jwsPattern.test(token)) return verifyOpaque(token, parts, nowMs);
  const unverified = readUnverified(token, "token");
  const { typ, claims } = unverified;
  if (typ === "at+jwt") return verifyAccessToken(token, unverified, parts, nowMs);
  const sub: unknown = claims.sub;
  if (["", "jwt", "jose"].includes(typ) && typeof sub === "string" && sub.startsWith("spiffe://"))
    return verifySvid(token, unverified, parts, nowMs);
  // ID tokens, ID-JAGs, and identity tokens of workloads, which are no bearer tokens.
  throw new TokenRefused("token_type", "the token is neither an access token nor a JWT-SVID");
};
