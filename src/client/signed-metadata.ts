/** Signed metadata (AuthZEN 1.0 §9.3): values that are signed by a trusted key win over the plain ones. */
import { isObject, type JsonObject } from "../kit/json.ts";
import { failure, type Result, success } from "./fault.ts";

/** Whose signature counts. Given keys, metadata without a valid signature is refused. */
export type MetadataKeys = {
  /** The issuer's public keys, a JWK set got on a way that is trusted. */
  keys: { keys: readonly JsonObject[] };
  /** The `iss` of the signature. */
  issuer: string;
};

/** Asymmetric only: with a shared secret the reader could sign as well. */
const algorithms = ["EdDSA", "Ed25519", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256"];

/** Claims that say something of the signature, not of the PDP. */
const ownClaims = new Set(["iss", "sub", "aud", "iat", "exp", "nbf", "jti"]);

/** Verifies `signed_metadata` and lays its values over the plain ones. */
export const readSignedMetadata = async (
  plain: JsonObject,
  { keys, issuer }: MetadataKeys,
): Promise<Result<JsonObject>> => {
  const token = plain["signed_metadata"];
  if (typeof token !== "string") return failure("metadata_signature", "the metadata is not signed");
  // Loaded when asked for: most clients never need it.
  const { createLocalJWKSet, jwtVerify } = await import("jose");
  try {
    const keySet = createLocalJWKSet({ keys: [...keys.keys] });
    const { payload } = await jwtVerify(token, keySet, { issuer, algorithms });
    if ("signed_metadata" in payload)
      return failure("metadata_signature", "the signed metadata holds signed metadata");
    const signed = Object.fromEntries(Object.entries(payload).filter(([name]) => !ownClaims.has(name)));
    return isObject(signed) ? success({ ...plain, ...signed }) : success(plain);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return failure("metadata_signature", `the metadata's signature doesn't hold: ${why}`);
  }
};
