/** Joins the agents of the files with what the store knows: registrations made at run time, and words on anyone's status. */
import type { Agent } from "../agent/agent.ts";
import { createRegistry } from "../agent/registry.ts";
import { stricter } from "../agent/status.ts";
import type { KeptAgents } from "../agent/store.ts";
import type { EntityIndex } from "../entity/closure.ts";
import type { SchemaModel } from "../entity/schema.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { digestOf } from "../kit/digest.ts";
import { agentEntity } from "./agent-entities.ts";
import type { World } from "./prepare.ts";

export const noKeptAgents: KeptAgents = { registrations: [], words: [] };

/** One index over another: what is in the upper one wins. */
const over = (upper: ReadonlyMap<string, CedarEntity>, lower: EntityIndex): EntityIndex =>
  upper.size === 0
    ? lower
    : {
        get: (key) => upper.get(key) ?? lower.get(key),
        *values() {
          for (const entity of lower.values()) if (!upper.has(uidKey(entity.uid))) yield entity;
          yield* upper.values();
        },
      };

/** The agents with the last word on each one's status. Nobody may act below a parent that is no longer there. */
const mergedAgents = (files: readonly Agent[], { registrations, words }: KeptAgents): Agent[] => {
  const said = new Map(words.map(({ agent, status }) => [agent, status]));
  const merged = new Map<string, Agent>();
  for (const agent of files) {
    const status = stricter(agent.status, said.get(agent.id) ?? "active");
    merged.set(agent.id, status === agent.status ? agent : { ...agent, status });
  }
  for (const registration of registrations) {
    // Where both know an agent, the file says what it is, and the store what it may.
    if (!merged.has(registration.id))
      merged.set(registration.id, { ...registration, status: said.get(registration.id) ?? "suspended" });
  }
  return [...merged.values()].map((agent) => {
    if (agent.parent === undefined || merged.has(agent.parent)) return agent;
    const { parent: _parent, ...orphan } = agent;
    return { ...orphan, status: stricter(agent.status, "suspended") };
  });
};

/** Agents that don't fit the schema any more may not act: what a forbid would look at may be missing. */
const fitted = (
  schema: SchemaModel,
  agents: readonly Agent[],
  unchanged: ReadonlySet<Agent>,
): { agents: Agent[]; entities: Map<string, CedarEntity> } => {
  const entities = new Map<string, CedarEntity>();
  const all = agents.map((agent) => {
    if (unchanged.has(agent)) return agent;
    const checked = schema.agentType === undefined ? undefined : agentEntity(schema, agent);
    if (!checked || "fault" in checked) return { ...agent, status: stricter(agent.status, "suspended") };
    entities.set(uidKey(checked.entity.uid), checked.entity);
    return agent;
  });
  return { agents: all, entities };
};

/** The world of the files with what the store knows of agents. */
export const withKeptAgents = (world: World, kept: KeptAgents): World => {
  if (kept.registrations.length === 0 && kept.words.length === 0) return world;
  const { head, entities: stored, registry, permits } = world;
  const files = registry.agents;
  const { agents, entities } = fitted(head.schema, mergedAgents(files, kept), new Set(files));
  return {
    head: { ...head, entitiesDigest: digestOf({ files: head.entitiesDigest, agents }) },
    entities: over(entities, stored),
    registry: createRegistry(agents),
    ...(permits ? { permits } : {}),
  };
};
