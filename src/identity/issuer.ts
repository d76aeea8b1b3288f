/** Token issuers as they are configured: plain data, and what makes one trustworthy enough to be asked. */

/** Where an issuer's keys are: a JWKS by URL or file; neither: found through the issuer's own metadata (RFC 8414). */
export type TokenIssuer = { issuer: string; jwksUri?: string; jwksFile?: string; algorithms: string[] };

/** How opaque tokens are asked about (RFC 7662). */
export type Introspection = {
  endpoint: string;
  clientId: string;
  /** Read anew for every question, so that it can be changed. */
  clientSecretFile: string;
  /** How its tokens begin: says to whom an opaque token may be shown. */
  tokenPrefix: string;
};

/** An issuer whose tokens callers may forward about those who act. */
export type ForwardedIssuer = TokenIssuer & {
  /** Any of them must be in a token's `aud`; none: no token of it is accepted from those who act. */
  audiences: string[];
  /** The longest that a token may be valid for. */
  tokenLifetimeMaxSeconds: number;
  /** Client ids that are people's own applications and no agents. */
  userClients: string[];
  /** Issuers whose actors its tokens may name in `act`, besides itself. */
  actorIssuers: string[];
  introspection?: Introspection;
};

/** Asymmetric only: with a shared secret, whoever verifies could also issue. */
export const defaultAlgorithms: readonly string[] = ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"];

/** Whether keys fetched from here can be believed: https, or http that doesn't leave this machine; no user, no fragment. */
export const isSafeUrl = (text: string): boolean => {
  if (!URL.canParse(text) || /[\s#]/.test(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return (
    protocol === "https:" ||
    (protocol === "http:" && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname))
  );
};

/** Whether proofs of possession may be for it: as safe, and without a query, which no proof names. */
export const isProofUrl = (text: string): boolean => isSafeUrl(text) && !text.includes("?");
