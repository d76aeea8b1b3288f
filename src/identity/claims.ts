/** What a verified access token says of who acts (RFC 9068, RFC 8693 §4.1, OAuth Actor Profile): plain data. */
import { isObject } from "../kit/json.ts";
import type { ForwardedIssuer } from "./issuer.ts";
import { TokenRefused } from "./token-refusal.ts";

/** How a token names an agent; which one it is, the registry says. */
export type Party = { issuer: string; clientId: string } | { spiffeId: string };

/** The members of an access token, or of an introspection answer, that are read. Unverified types. */
export type AccessClaims = { [claim: string]: unknown };

export type Parties = {
  /** Whom the token is about: a person, or the agent itself. */
  principal: { issuer: string; sub: string };
  /** To whom it was issued. */
  client: Party;
  /** Actors, from the first to the one that acts now. */
  actors: Party[];
};

const nameLengthMax = 2048;

const nameIn = (claims: AccessClaims, claim: string): string => {
  const value = claims[claim];
  if (typeof value !== "string" || value === "" || value.length > nameLengthMax)
    throw new TokenRefused("token_type", `\`${claim}\` must be a text`);
  return value;
};

/** Nested actors are earlier ones; the outermost acts now. Each needs an issuer: a name alone could be anyone's. */
const actorsIn = (act: unknown, issuer: ForwardedIssuer, chainLengthMax: number): Party[] => {
  const actors: Party[] = [];
  const trusted = new Set([issuer.issuer, ...issuer.actorIssuers]);
  for (let at: unknown = act; at !== undefined && at !== null;) {
    if (!isObject(at)) throw new TokenRefused("token_type", "`act` must be an object");
    const actor: AccessClaims = at;
    if (actors.length >= chainLengthMax)
      throw new TokenRefused("chain_too_deep", `a token with more than ${chainLengthMax} actors`);
    if (typeof actor["iss"] !== "string" || !trusted.has(actor["iss"]))
      throw new TokenRefused("token_issuer", "an actor without an issuer, or of one that isn't accepted");
    actors.unshift({ issuer: actor["iss"], clientId: nameIn(actor, "sub") });
    at = actor["act"];
  }
  return actors;
};

/** @throws TokenRefused */
export const partiesIn = (
  claims: AccessClaims,
  issuer: ForwardedIssuer,
  chainLengthMax: number,
): Parties => ({
  principal: { issuer: issuer.issuer, sub: nameIn(claims, "sub") },
  client: { issuer: issuer.issuer, clientId: nameIn(claims, "client_id") },
  actors: actorsIn(claims["act"], issuer, chainLengthMax),
});

/** What a token is bound to: a key (RFC 9449 §6), a client certificate (RFC 8705 §3.1), or both; each by its thumbprint. */
export type Binding = { jkt?: string; certificate?: string };

/**
 * What a token is bound to. A binding that can't be checked is not ignored: the token would become a bearer token.
 * @throws TokenRefused
 */
export const bindingIn = ({ cnf }: AccessClaims): Binding => {
  if (cnf === undefined || cnf === null) return {};
  const confirmation: AccessClaims = isObject(cnf) ? cnf : {};
  const { jkt, "x5t#S256": certificate, ...others } = confirmation;
  const unusable = [jkt, certificate].some((each) => each !== undefined && typeof each !== "string");
  if (unusable || (jkt === undefined && certificate === undefined) || Object.keys(others).length > 0)
    throw new TokenRefused("token_proof", "the token is bound in a way that can't be checked here");
  return {
    ...(typeof jkt === "string" ? { jkt } : {}),
    ...(typeof certificate === "string" ? { certificate } : {}),
  };
};

export type Lifetime = { nowSeconds: number; maxSeconds: number; toleranceSeconds: number };

/** @throws TokenRefused for a token that is valid for longer than its issuer may say, or comes from the future */
export const checkLifetime = (
  { exp, iat, nbf }: AccessClaims,
  { nowSeconds, maxSeconds, toleranceSeconds }: Lifetime,
): number => {
  if (typeof exp !== "number" || exp <= nowSeconds - toleranceSeconds)
    throw new TokenRefused("token_expired", "the token has expired");
  for (const time of [iat, nbf])
    if (time !== undefined && (typeof time !== "number" || time > nowSeconds + toleranceSeconds))
      throw new TokenRefused("token_not_yet_valid", "the token isn't valid yet");
  const from = typeof iat === "number" ? iat : nowSeconds + toleranceSeconds;
  if (exp - Math.min(from, nowSeconds + toleranceSeconds) > maxSeconds)
    throw new TokenRefused("token_expired", `the token is valid for longer than ${maxSeconds} seconds`);
  return exp;
};
