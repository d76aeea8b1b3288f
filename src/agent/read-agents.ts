/** Reads `agents.yaml`, the registry's file form: strict, and every fault names its place. */
import { z } from "zod";
import type { LoadError } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import type { Agent } from "./agent.ts";
import { agentOf, agentShape } from "./agent-shape.ts";

const fileShape = z.strictObject({ agents: z.array(agentShape).default([]) });

/** `schemas/agents.schema.json`. */
export const agentsJsonSchema = (): string =>
  JSON.stringify({
    title: "agents.yaml",
    ...z.toJSONSchema(fileShape, { io: "input", unrepresentable: "any" }),
  });

/**
 * Reads the file. Ids are unique, parents exist and form no cycle, and no two agents are recognised by the same
 * thing. `agentType` is the schema's `@remit("agent")` type. `faultAt` places what is found wrong with an agent later.
 */
export const readAgents = (
  file: string,
  text: string,
  agentType: string | undefined,
):
  | { agents: Agent[]; faultAt: (position: number, message: string, path?: readonly string[]) => LoadError }
  | { errors: LoadError[] } => {
  const read = readYamlAs(file, text, fileShape);
  if ("errors" in read) return read;
  const raws = read.value.agents;
  const faultAt = (position: number, message: string, path: readonly string[] = []): LoadError => ({
    message,
    ...read.placeOf(["agents", position, ...path]),
  });
  const agents = raws.map(agentOf);
  const positions = new Map<string, number>();
  const recognised = new Map<string, string>();
  const errors: LoadError[] = [];
  if (raws.length > 0 && agentType === undefined)
    errors.push(faultAt(0, 'the schema marks no entity type `@remit("agent")`'));
  for (const [position, agent] of agents.entries()) {
    const type = raws[position]!.type;
    if (type !== undefined && type !== agentType)
      errors.push(faultAt(position, `\`${type}\` is not the schema's agent type`, ["type"]));
    if (positions.has(agent.id))
      errors.push(faultAt(position, `the agent \`${agent.id}\` is listed twice`, ["id"]));
    positions.set(agent.id, position);
    for (const key of agent.recognisedBy.map((by) => JSON.stringify(by))) {
      const other = recognised.get(key);
      if (other !== undefined)
        errors.push(faultAt(position, `recognised by the same as \`${other}\``, ["recognised_by"]));
      recognised.set(key, agent.id);
    }
  }
  for (const [position, agent] of agents.entries()) {
    const message = parentFault(agent, agents, positions);
    if (message !== undefined) errors.push(faultAt(position, message, ["parent"]));
  }
  return errors.length > 0 ? { errors } : { agents, faultAt };
};

const parentFault = (
  agent: Agent,
  agents: readonly Agent[],
  positions: ReadonlyMap<string, number>,
): string | undefined => {
  const seen = new Set([agent.id]);
  for (let at = agent; at.parent !== undefined;) {
    const position = positions.get(at.parent);
    if (position === undefined) return at === agent ? `the parent \`${at.parent}\` is not listed` : undefined;
    if (seen.has(at.parent)) return `\`${agent.id}\` is its own ancestor`;
    seen.add(at.parent);
    at = agents[position]!;
  }
  return undefined;
};
