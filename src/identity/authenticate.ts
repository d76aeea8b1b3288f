/** Who asks: an `Authorization` header to a caller, by API key or access token. */
import { Problem } from "../kit/problem.ts";
import type { JWTVerifyGetKey } from "jose";
import { createTokenVerifier } from "./access-token.ts";
import { type Caller, scopes } from "./caller.ts";
import type { TokenIssuer } from "./issuer.ts";
import { hashKey, sameHash } from "./key.ts";
import { usualKeyTimes } from "./key-times.ts";

export type Authenticate = (authorization: string) => Caller | Promise<Caller>;

export type AuthenticateParts = {
  callers: () => readonly Caller[];
  adminKeyHash: string;
  issuers: readonly TokenIssuer[];
  /** Where issuers' keys are, shared with others that need them. */
  keysOf?: (issuer: TokenIssuer) => JWTVerifyGetKey;
};

const refused = (): Problem =>
  new Problem("unauthenticated", "the credentials are not accepted", { field: "authorization" });

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
  return (authorization) => {
    const credential = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (credential === undefined) throw refused();
    if (tokenPattern.test(credential)) return verifyToken(credential, callers());
    const hash = hashKey(credential);
    let found: Caller | undefined = sameHash(hash, adminKeyHash) ? admin : undefined;
    // No early exit: how long it takes tells nothing of which caller was near.
    for (const caller of callers())
      // The administrator's key stays the administrator's, whoever was added with it.
      if (caller.keyHash !== undefined && sameHash(hash, caller.keyHash)) found ??= caller;
    if (!found) throw refused();
    return found;
  };
};
