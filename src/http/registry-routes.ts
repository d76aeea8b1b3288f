/** The registry of agents: who there is, who is let in, changed, suspended and revoked. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import { type Agent, type Recognition, statuses } from "../agent/agent.ts";
import { agentChangeShape, agentOf, changedAgent, newAgentShape } from "../agent/agent-shape.ts";
import { holdFates, type KeptAgents, type Kill } from "../agent/store.ts";
import { agentEntity } from "../decision/agent-entities.ts";
import type { World } from "../decision/prepare.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { type AgentParts, agentNamed, killsOver, nameOf, typeOf } from "./agent-routes.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { instantText, shaped } from "./shaped.ts";

const reasonText = z.string().min(1).max(1000);

const statusBody = z.strictObject({ reason: reasonText });
const stopBody = z.strictObject({ reason: reasonText, holds: z.enum(holdFates).default("freeze") });

const listQuery = z.strictObject({
  status: z.enum(statuses).optional(),
  owner: z.string().optional(),
  team: z.string().optional(),
  parent: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().optional(),
});

const shownRecognition = (by: Recognition): Record<string, string> => {
  if ("clientId" in by) return { issuer: by.issuer, client_id: by.clientId };
  return "spiffeId" in by ? { spiffe_id: by.spiffeId } : { jkt: by.jkt };
};

type Seen = { world: World; kept: KeptAgents; kills: readonly Kill[] };

const shownAgent = (agent: Agent, { world, kept, kills }: Seen): Record<string, unknown> => {
  const { id, name, owner, team, org, purpose, model, parent, expiresAt, status } = agent;
  const word = kept.words.find((each) => each.agent === id);
  const stopped = killsOver(world.registry.lineage(agent), kills).map((kill) => kill.id);
  const known = { name, owner, team, org, purpose, model, parent };
  return {
    id,
    type: typeOf(world),
    ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)),
    ...(expiresAt === undefined ? {} : { expires_at: instantText(expiresAt) }),
    status,
    ...(word ? { status_reason: word.reason, status_by: word.by, status_at: instantText(word.at) } : {}),
    ...(stopped.length === 0 ? {} : { stopped_by: stopped }),
    source: kept.registrations.some((each) => each.id === id) ? "store" : "file",
    recognised_by: agent.recognisedBy.map(shownRecognition),
    attrs: agent.attrs,
    tags: agent.tags,
  };
};

const see = async ({ agents, worlds }: AgentParts): Promise<Seen> => {
  const kept = await agents.keptAgents();
  return { world: worlds.current(), kept, kills: await agents.standingKills() };
};

const idOf = (c: Context): string => c.req.param("id") ?? "";

const listAgents =
  (parts: AgentParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "audit");
    const { limit, cursor, ...wanted } = shaped(listQuery, c.req.query());
    const seen = await see(parts);
    const fits = (agent: Agent): boolean =>
      (cursor === undefined || agent.id > cursor) &&
      (["status", "owner", "team", "parent"] as const).every(
        (name) => wanted[name] === undefined || agent[name] === wanted[name],
      );
    const found = seen.world.registry.agents.filter(fits).sort((a, b) => (a.id < b.id ? -1 : 1));
    const page = found.slice(0, limit);
    return jsonAnswer(200, {
      agents: page.map((agent) => shownAgent(agent, seen)),
      ...(found.length > limit ? { next: page.at(-1)!.id } : {}),
    });
  };

const showAgent =
  (parts: AgentParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "audit");
    const seen = await see(parts);
    return jsonAnswer(200, { agent: shownAgent(agentNamed(seen.world, idOf(c)), seen) });
  };

/** @throws Problem for what the schema, the parent or another agent has against it */
const checkAgent = ({ head, registry }: World, agent: Agent): void => {
  if (head.schema.agentType === undefined)
    throw new Problem("conflict", 'the schema marks no entity type `@remit("agent")`', { field: "type" });
  if (agent.expiresAt !== undefined && !Number.isSafeInteger(agent.expiresAt))
    throw new Problem("invalid_request", "expires_at: must be before the year 2255", { field: "expires_at" });
  if (agent.parent !== undefined && !registry.agents.some(({ id }) => id === agent.parent))
    throw new Problem("invalid_request", `the parent \`${agent.parent}\` is not registered`, {
      field: "parent",
    });
  const keys = new Set(agent.recognisedBy.map((by) => JSON.stringify(by)));
  const other = registry.agents.find(
    ({ id, recognisedBy }) => id !== agent.id && recognisedBy.some((by) => keys.has(JSON.stringify(by))),
  );
  if (other)
    throw new Problem("conflict", `recognised by the same as \`${other.id}\``, { field: "recognised_by" });
  const checked = agentEntity(head.schema, agent);
  if ("fault" in checked)
    throw new Problem("invalid_request", checked.fault, { field: checked.path.map(String).join(".") });
};

const answerWith = async (parts: AgentParts, id: string, status: number): Promise<Answer> => {
  const seen = await see(parts);
  return jsonAnswer(status, { agent: shownAgent(agentNamed(seen.world, id), seen) });
};

const createAgent =
  (parts: AgentParts): Endpoint =>
  async (c) => {
    const caller = await parts.guard(c, "admin");
    const { reason, ...raw } = shaped(newAgentShape, await readBody(c, parts.limits));
    const world = parts.worlds.current();
    if (raw.type !== undefined && raw.type !== typeOf(world))
      throw new Problem("invalid_request", `\`${raw.type}\` is not the schema's agent type`, {
        field: "type",
      });
    const agent = agentOf(raw);
    if (world.registry.agents.some(({ id }) => id === agent.id))
      throw new Problem("conflict", `the agent \`${agent.id}\` is registered already`, { field: "id" });
    checkAgent(world, agent);
    const { status, ...registration } = agent;
    const at = parts.clock();
    await parts.agents.changeAgent({
      verb: "register",
      id: uuidv7(at),
      at,
      caller: caller.name,
      agent: nameOf(world, agent.id),
      registration,
      status,
      reason,
    });
    return answerWith(parts, agent.id, 201);
  };

const changeAgent =
  (parts: AgentParts): Endpoint =>
  async (c) => {
    const caller = await parts.guard(c, "admin");
    const body = shaped(agentChangeShape, await readBody(c, parts.limits));
    const { world, kept } = await see(parts);
    const { id, status } = agentNamed(world, idOf(c));
    const before = kept.registrations.find((each) => each.id === id);
    if (!before)
      throw new Problem("conflict", `\`${id}\` stands in agents.yaml: change it there`, { field: "id" });
    const registration = changedAgent(before, body);
    checkAgent(world, { ...registration, status });
    const at = parts.clock();
    await parts.agents.changeAgent({
      verb: "change",
      id: uuidv7(at),
      at,
      caller: caller.name,
      agent: nameOf(world, id),
      before,
      registration,
      reason: body.reason,
    });
    return answerWith(parts, id, 200);
  };

/** Whether it is the file that keeps an agent from acting: the store can't raise what it says. */
const heldByFile = ({ id, status }: Agent, { words, registrations }: KeptAgents): boolean =>
  status !== "active" &&
  status !== (words.find(({ agent }) => agent === id)?.status ?? "active") &&
  registrations.every((each) => each.id !== id);

const sayStatus =
  (parts: AgentParts, verb: "activate" | "suspend" | "revoke"): Endpoint =>
  async (c) => {
    const caller = await parts.guard(c, "admin");
    const body = await readBody(c, parts.limits);
    const { reason, ...stop } = verb === "activate" ? shaped(statusBody, body) : shaped(stopBody, body);
    const seen = await see(parts);
    const { world } = seen;
    const agent = agentNamed(world, idOf(c));
    if (verb === "activate" && heldByFile(agent, seen.kept))
      throw new Problem(
        "conflict",
        `agents.yaml says that \`${agent.id}\` is ${agent.status}: change it there`,
        {
          field: "status",
        },
      );
    const at = parts.clock();
    await parts.agents.changeAgent({
      verb,
      id: uuidv7(at),
      at,
      caller: caller.name,
      agent: nameOf(world, agent.id),
      reason,
      registered: agent.status,
      ...stop,
    });
    return answerWith(parts, agent.id, 200);
  };

/** Adds `/v1/agents`. An agent's id is one segment of the path, percent-encoded. */
export const addRegistryRoutes = (app: Hono, parts: AgentParts, add: Add): void => {
  add(app, "get", "/v1/agents", listAgents(parts));
  add(app, "post", "/v1/agents", createAgent(parts));
  add(app, "get", "/v1/agents/:id", showAgent(parts));
  add(app, "patch", "/v1/agents/:id", changeAgent(parts));
  for (const verb of ["activate", "suspend", "revoke"] as const)
    add(app, "post", `/v1/agents/:id/${verb}`, sayStatus(parts, verb));
};

/** What requests bring, for their description. */
export const registryShapes: Record<"list" | "status" | "stop", z.ZodType> = {
  list: listQuery,
  status: statusBody,
  stop: stopBody,
};
