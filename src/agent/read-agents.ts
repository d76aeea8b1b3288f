/** Reads `agents.yaml`, the registry's file form: strict, and every fault names its place. */
import { z } from "zod";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { LoadError } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import { type Agent, type Recognition, statuses } from "./agent.ts";

const text = z.string().min(1);

const recognition = z.union([
  z.strictObject({ issuer: text, client_id: text }),
  z.strictObject({ spiffe_id: text }),
  z.strictObject({ jkt: text }),
]);

const agentShape = z.strictObject({
  id: text,
  type: text.optional(),
  name: text.optional(),
  owner: text.optional(),
  team: text.optional(),
  org: text.optional(),
  purpose: text.optional(),
  model: text.optional(),
  parent: text.optional(),
  expires_at: z.iso.datetime({ offset: true }).optional(),
  status: z.enum(statuses).default("active"),
  recognised_by: z.array(recognition).default([]),
  attrs: z.custom<JsonObject>(isObject, "expected an object").default({}),
  tags: z
    .record(
      z.string(),
      z.custom<JsonValue>((value) => value !== undefined),
    )
    .default({}),
});

const fileShape = z.strictObject({ agents: z.array(agentShape).default([]) });

type Raw = z.infer<typeof agentShape>;

const recognitionOf = (raw: z.infer<typeof recognition>): Recognition => {
  if ("client_id" in raw) return { issuer: raw.issuer, clientId: raw.client_id };
  return "spiffe_id" in raw ? { spiffeId: raw.spiffe_id } : { jkt: raw.jkt };
};

const agentOf = ({ type: _type, expires_at, recognised_by, ...raw }: Raw): Agent => {
  const optional = (["name", "owner", "team", "org", "purpose", "model", "parent"] as const).filter(
    (name) => raw[name] !== undefined,
  );
  return {
    id: raw.id,
    ...Object.fromEntries(optional.map((name) => [name, raw[name]])),
    ...(expires_at === undefined ? {} : { expiresAt: Date.parse(expires_at) * 1000 }),
    status: raw.status,
    recognisedBy: recognised_by.map(recognitionOf),
    attrs: raw.attrs,
    tags: raw.tags,
  };
};

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
