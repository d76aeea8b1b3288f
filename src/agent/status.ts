/** The life of an agent: which status is stricter than which, and who of those that differ has the say. */
import type { AgentStatus } from "./agent.ts";

const strictness: Record<AgentStatus, number> = { active: 0, requested: 1, suspended: 2, revoked: 3 };

/** The stricter of two: files and store may each lower a status, neither raises what the other says. */
export const stricter = (a: AgentStatus, b: AgentStatus): AgentStatus =>
  strictness[a] >= strictness[b] ? a : b;
