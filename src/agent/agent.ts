/** A registered agent: an autonomous subject with an owner, a lifecycle and ways to be recognised. */
import type { Micros } from "../kit/clock.ts";
import type { JsonObject, JsonValue } from "../kit/json.ts";

export const statuses = ["requested", "active", "suspended", "revoked"] as const;
export type AgentStatus = (typeof statuses)[number];

/** How a token or a caller may name the agent besides its id. */
export type Recognition = { issuer: string; clientId: string } | { spiffeId: string } | { jkt: string };

export type Agent = {
  /** Stable; a URI where possible. */
  id: string;
  name?: string;
  /** Id of the `@remit("user")` type. */
  owner?: string;
  team?: string;
  org?: string;
  purpose?: string;
  model?: string;
  /** Id of the registered agent above it, which joins every chain. */
  parent?: string;
  expiresAt?: Micros;
  status: AgentStatus;
  recognisedBy: Recognition[];
  attrs: JsonObject;
  tags: Record<string, JsonValue>;
};
