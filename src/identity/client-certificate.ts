/** Client certificates as callers forward them: what a token is bound to by mutual TLS (RFC 8705) is compared with them. */
import { X509Certificate } from "node:crypto";
import { sha256 } from "../kit/digest.ts";
import { TokenRefused } from "./token-refusal.ts";

const refused = (detail: string): TokenRefused => new TokenRefused("token_proof", detail);

/** RFC 9440 §2.1: DER as a byte sequence of RFC 8941, which is base64 between colons. */
const fieldPattern = /^:([A-Za-z0-9+/]+={0,2}):$/;

/** One certificate as text (RFC 7468 §5.1): of several, nobody says which was shown. */
const pemPattern = /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/;

const thumbprintPattern = /^[\w-]{43}$/;

const certificateOf = (text: string): X509Certificate => {
  const der = fieldPattern.exec(text)?.[1];
  if (der === undefined && !pemPattern.test(text)) throw refused("the client certificate is no certificate");
  try {
    return new X509Certificate(der === undefined ? text : Buffer.from(der, "base64"));
  } catch {
    throw refused("the client certificate is no certificate");
  }
};

/**
 * The thumbprint (`x5t#S256`, RFC 8705 §3.1) of the certificate that the caller's connection with the agent was made with: as it
 * was forwarded, whole or by its thumbprint. Nothing where neither was.
 * @throws TokenRefused for what is neither, and where the two differ
 */
export const certificateThumbprint = (
  certificate: string | undefined,
  thumbprint: string | undefined,
): string | undefined => {
  if (thumbprint !== undefined && !thumbprintPattern.test(thumbprint))
    throw refused("the thumbprint of the client certificate is none");
  if (certificate === undefined) return thumbprint;
  const known = sha256(certificateOf(certificate).raw).toString("base64url");
  if (thumbprint !== undefined && thumbprint !== known)
    throw refused("the thumbprint is another certificate's");
  return known;
};
