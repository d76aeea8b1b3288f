/** The PDP metadata of AuthZEN 1.0 (§9): built from the configured identity, never from a request. */
import type { JsonObject } from "../kit/json.ts";

const wellKnown = "/.well-known/authzen-configuration";

/** Default paths (§10.1). */
export const evaluationPath = "/access/v1/evaluation";
export const evaluationsPath = "/access/v1/evaluations";

/** The path of an identity: empty, or `/tenant`. */
export const identityPath = (identity: string): string => {
  const { pathname } = new URL(identity);
  return pathname === "/" ? "" : pathname.replace(/\/$/, "");
};

/** Where the metadata of an identity with this path is found: the well-known part goes between host and path (§9.2). */
export const metadataPath = (path: string): string => `${wellKnown}${path}`;

/**
 * The metadata document (§9.1.1). Endpoints that are not served are left out, which says so (§9.1).
 * `supported_obligations` is what the Obligations profile (draft 1) asks for.
 */
export const metadataBody = (identity: string, obligationTypes: readonly string[]): JsonObject => {
  const base = identity.replace(/\/$/, "");
  return {
    policy_decision_point: identity,
    access_evaluation_endpoint: `${base}${evaluationPath}`,
    access_evaluations_endpoint: `${base}${evaluationsPath}`,
    ...(obligationTypes.length === 0 ? {} : { supported_obligations: [...obligationTypes] }),
  };
};
