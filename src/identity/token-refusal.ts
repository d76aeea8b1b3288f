/** Why a token that a caller forwards is not believed: values that end up as the reason of a denial. */
import { errors } from "jose";
import { Problem } from "../kit/problem.ts";

export type TokenReason =
  | "token_audience"
  | "token_issuer"
  | "token_type"
  | "token_algorithm"
  | "token_expired"
  | "token_not_yet_valid"
  | "token_crit"
  | "token_replayed"
  | "token_proof"
  | "token_keys_unreachable"
  | "chain_too_deep";

/** `detail` is for administrators and never holds what a token says, but for names that are configured. */
export type TokenRefusal = { reason: TokenReason; detail: string };

/** Ends the verification of a question's tokens. Only used inside this room, as a value would pass through every step. */
export class TokenRefused extends Error {
  readonly refusal: TokenRefusal;
  constructor(reason: TokenReason, detail: string) {
    super(detail);
    this.refusal = { reason, detail };
  }
}

const reasonOfClaim: Readonly<Record<string, TokenReason>> = {
  aud: "token_audience",
  iss: "token_issuer",
  exp: "token_expired",
  nbf: "token_not_yet_valid",
  iat: "token_not_yet_valid",
};

/** What a failed verification of a signed token means. `what` names the token. Gives back what is no token's fault. */
export const refusalOf = (error: unknown, what: string): unknown => {
  if (error instanceof Problem && error.code === "not_ready")
    return new TokenRefused("token_keys_unreachable", error.detail);
  if (error instanceof errors.JWTExpired) return new TokenRefused("token_expired", `the ${what} has expired`);
  if (error instanceof errors.JWTClaimValidationFailed)
    return new TokenRefused(
      reasonOfClaim[error.claim] ?? "token_type",
      `the claim \`${error.claim}\` of the ${what} is not accepted`,
    );
  if (error instanceof errors.JOSEAlgNotAllowed)
    return new TokenRefused("token_algorithm", `the ${what} is signed with an algorithm that isn't accepted`);
  if (
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  )
    return new TokenRefused("token_issuer", `the ${what} isn't signed with a key of its issuer`);
  if (error instanceof errors.JOSEError)
    return new TokenRefused("token_type", `the ${what} is not well-formed`);
  return error;
};
