/** Who asks: an `Authorization` header to a caller, by API key or access token. */
import { Problem } from "../kit/problem.ts";
import type { JWTVerifyGetKey } from "jose";
import { createTokenVerifier } from "./access-token.ts";
import { type Caller, scopes } from "./caller.ts";
import type { TokenIssuer } from "./issuer.ts";
import { hashKey, sameHash } from "./key.ts";
import { usualKeyTimes } from "./key-times.ts";
import { refusalOf, TokenRefused, type TokenReason } from "./token-refusal.ts";

export type Authenticate = (authorization: string) => Caller | Promise<Caller>;

export type AuthenticateParts = {
  callers: () => readonly Caller[];
  adminKeyHash: string;
  issuers: readonly TokenIssuer[];
  /** Where issuers' keys are, shared with others that need them. */
  keysOf?: (issuer: TokenIssuer) => JWTVerifyGetKey;
  /** Hears why a credential wasn't accepted: `unreadable`, `unknown_key`, or as of forwarded tokens. */
  onRefused?: (reason: string) => void;
};

const refused = (): Problem =>
  new Problem("unauthenticated", "the credentials are not accepted", { field: "authorization" });

/** Why an access token wasn't believed, in the words for forwarded tokens. */
const tokenReasonOf = (error: unknown): TokenReason => {
  const cause = error instanceof Problem && error.code === "unauthenticated" ? error.cause : error;
  // What jose can't even take apart is no error of its own.
  if (cause instanceof TypeError) return "token_type";
  const refusal = refusalOf(cause, "access token");
  // What isn't a fault of the token's form or signature is about who it is for: no caller has that issuer or client.
  return refusal instanceof TokenRefused ? refusal.refusal.reason : "token_issuer";
};

/** Three parts in base64url: a JWS; an API key has no dots. */
const tokenPattern = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * An authenticator over the callers of the moment. Keys answer at once; tokens may have to wait for their issuer's.
 * @throws Problem `unauthenticated`, without telling what was wrong
 */
export const createAuthenticator = ({
  callers,
  adminKeyHash,
  issuers,
  keysOf,
  onRefused,
}: AuthenticateParts): Authenticate => {
  const verifyToken = createTokenVerifier(issuers, usualKeyTimes, keysOf);
  const admin: Caller = {
    name: "admin",
    scopes: [...scopes],
    detail: "admin",
    subjects: [],
    agents: [],
    actorRequired: false,
    obligations: [],
  };
  const refuse = (reason: string): never => {
    onRefused?.(reason);
    throw refused();
  };
  const believe = async (token: string): Promise<Caller> => {
    try {
      return await verifyToken(token, callers());
    } catch (error) {
      onRefused?.(tokenReasonOf(error));
      throw error;
    }
  };
  return (authorization) => {
    const credential = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (credential === undefined) return refuse("unreadable");
    if (tokenPattern.test(credential)) return believe(credential);
    const hash = hashKey(credential);
    let found: Caller | undefined = sameHash(hash, adminKeyHash) ? admin : undefined;
    // No early exit: how long it takes tells nothing of which caller was near.
    for (const caller of callers())
      // The administrator's key stays the administrator's, whoever was added with it.
      if (caller.keyHash !== undefined && sameHash(hash, caller.keyHash)) found ??= caller;
    return found ?? refuse("unknown_key");
  };
};
