/** The PDP metadata of AuthZEN 1.0 (§9): built from the configured identity, never from a request. */
import type { JsonObject } from "../kit/json.ts";

const wellKnown = "/.well-known/authzen-configuration";

/** Default paths (§10.1). */
export const evaluationPath = "/access/v1/evaluation";
export const evaluationsPath = "/access/v1/evaluations";
export const searchPath = "/access/v1/search";
/** The keys that verify `signed_metadata`; AuthZEN leaves the place open. */
export const keysPath = "/access/v1/keys";

/** The path of an identity: empty, or `/tenant`. */
export const identityPath = (identity: string): string => {
  const { pathname } = new URL(identity);
  return pathname === "/" ? "" : pathname.replace(/\/$/, "");
};

/** Where the metadata of an identity with this path is found: the well-known part goes between host and path (§9.2). */
export const metadataPath = (path: string): string => `${wellKnown}${path}`;

export type Metadata = JsonObject & { policy_decision_point: string };

/**
 * The parameters of the metadata document (§9.1.1), without its signature. Endpoints that are not served are left out, which says so (§9.1).
 * `supported_obligations` is what the Obligations profile (draft 1) asks for.
 */
export const metadataBody = (identity: string, obligationTypes: readonly string[]): Metadata => {
  const base = identity.replace(/\/$/, "");
  return {
    policy_decision_point: identity,
    access_evaluation_endpoint: `${base}${evaluationPath}`,
    access_evaluations_endpoint: `${base}${evaluationsPath}`,
    search_subject_endpoint: `${base}${searchPath}/subject`,
    search_resource_endpoint: `${base}${searchPath}/resource`,
    search_action_endpoint: `${base}${searchPath}/action`,
    jwks_uri: `${base}${keysPath}`,
    ...(obligationTypes.length === 0 ? {} : { supported_obligations: [...obligationTypes] }),
  };
};
