/** Token issuers as they are configured: plain data, and what makes one trustworthy enough to be asked. */

/** Where an issuer's keys are: a JWKS by URL or file; neither: found through the issuer's own metadata (RFC 8414). */
export type TokenIssuer = { issuer: string; jwksUri?: string; jwksFile?: string; algorithms: string[] };

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
