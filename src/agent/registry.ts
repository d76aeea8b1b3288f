/** The registry: which agents there are, who stands above them, and whether they may act now. */
import type { Micros } from "../kit/clock.ts";
import type { Agent, Recognition } from "./agent.ts";

export type Registry = {
  /** The agent of this id, or the one that is recognised by it as a client id or SPIFFE ID. */
  find: (name: string) => Agent | undefined;
  byId: (id: string) => Agent | undefined;
  /** The agent that a verified token is of. */
  recognise: (by: Recognition) => Agent | undefined;
  /** The agent and everyone above it, from the first ancestor down to the agent. */
  lineage: (agent: Agent) => Agent[];
  agents: readonly Agent[];
};

/** Whether an agent may act at an instant, or the reason it may not. */
export const standing = (
  agent: Agent,
  now: Micros,
): "active" | "agent_unknown" | "agent_suspended" | "agent_revoked" | "agent_expired" => {
  if (agent.status === "revoked") return "agent_revoked";
  if (agent.status === "suspended") return "agent_suspended";
  // Asked for but not yet let in: to a decision it is not there.
  if (agent.status === "requested") return "agent_unknown";
  return agent.expiresAt !== undefined && agent.expiresAt <= now ? "agent_expired" : "active";
};

const recognitionKey = (by: Recognition): string => {
  if ("clientId" in by) return JSON.stringify([by.issuer, by.clientId]);
  return JSON.stringify("spiffeId" in by ? ["spiffe", by.spiffeId, ""] : ["jkt", by.jkt, ""]);
};

/** A registry of these agents: ids unique, parents known, no cycles (see `readAgents`). */
export const createRegistry = (agents: readonly Agent[]): Registry => {
  const byId = new Map(agents.map((agent) => [agent.id, agent]));
  const byName = new Map<string, Agent | undefined>();
  const recognised = new Map<string, Agent | undefined>();
  for (const agent of agents) {
    for (const by of agent.recognisedBy) {
      const key = recognitionKey(by);
      // What would be two agents' is nobody's.
      recognised.set(key, recognised.has(key) && recognised.get(key) !== agent ? undefined : agent);
      const name = "clientId" in by ? by.clientId : "spiffeId" in by ? by.spiffeId : undefined;
      // Two issuers may give the same client id to different agents; then the name alone recognises neither.
      if (name !== undefined) byName.set(name, byName.has(name) ? undefined : agent);
    }
  }
  return {
    find: (name) => byId.get(name) ?? byName.get(name),
    byId: (id) => byId.get(id),
    recognise: (by) => recognised.get(recognitionKey(by)),
    lineage: (agent) => {
      const lineage = [agent];
      for (let at = agent; at.parent !== undefined;) {
        at = byId.get(at.parent)!;
        lineage.unshift(at);
      }
      return lineage;
    },
    agents,
  };
};
