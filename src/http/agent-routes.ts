/** Agents for administrators and enforcement points: their keys, and whose a key is. */
import { randomUUID } from "node:crypto";
import type { Hono } from "hono";
import { z } from "zod";
import type { Agent } from "../agent/agent.ts";
import { standing } from "../agent/registry.ts";
import type { AgentKey, AgentName, AgentStore, Kill } from "../agent/store.ts";
import type { World } from "../decision/prepare.ts";
import type { AskedCondition } from "../decision/delegated-condition.ts";
import type { Worlds } from "../decision/worlds.ts";
import { mayAsk } from "../identity/caller.ts";
import { hashKey, isAgentKey, newAgentKey } from "../identity/key.ts";
import type { Clock } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { jsonAnswer } from "./answer.ts";
import { type BodyLimits, readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { instantOf, instantText, shaped } from "./shaped.ts";

export type AgentParts = {
  guard: Guard;
  agents: AgentStore;
  /** Checks a delegation's condition against what is in force. @throws Problem `invalid_request` */
  checkCondition: (asked: AskedCondition) => Promise<{ reach: number }>;
  worlds: Worlds;
  clock: Clock;
  limits: BodyLimits;
};

const keyBody = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  expires_at: z.iso.datetime({ offset: true }).optional(),
});

const recogniseBody = z.strictObject({ key: z.string() });

/** A key as it is shown: never its hash. */
const shownKey = (key: AgentKey): Record<string, unknown> => ({
  id: key.id,
  agent: key.agent,
  ...(key.name === undefined ? {} : { name: key.name }),
  created_at: instantText(key.createdAt),
  created_by: key.createdBy,
  ...(key.expiresAt === undefined ? {} : { expires_at: instantText(key.expiresAt) }),
  ...(key.revokedAt === undefined ? {} : { revoked_at: instantText(key.revokedAt) }),
  ...(key.revokedBy === undefined ? {} : { revoked_by: key.revokedBy }),
});

/** The registered agent of this id. @throws Problem `not_found` */
export const agentNamed = ({ registry }: World, id: string): Agent => {
  const agent = registry.find(id);
  if (!agent) throw new Problem("not_found", `no agent \`${id}\` is registered`, { field: "agent" });
  return agent;
};

/** The type of agents. */
export const typeOf = ({ head }: World): string => head.schema.agentType ?? "Agent";

/** How an entry may name an agent. */
export const nameOf = (world: World, id: string): AgentName => ({
  type: typeOf(world),
  id,
  personal: world.head.schema.types.get(typeOf(world))?.personal ?? true,
});

const addKey =
  ({ guard, agents, worlds, clock, limits }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const { name, expires_at } = shaped(keyBody, await readBody(c, limits));
    const at = clock();
    const expiresAt = expires_at === undefined ? undefined : instantOf(expires_at);
    if (expiresAt !== undefined && (expiresAt <= at || !Number.isSafeInteger(expiresAt)))
      throw new Problem("invalid_request", "expires_at: must be in the future, before the year 2255", {
        field: "expires_at",
      });
    const world = worlds.current();
    const { id } = agentNamed(world, c.req.param("id") ?? "");
    const { key, keyHash } = newAgentKey();
    const kept = await agents.changeAgentKey({
      verb: "add_key",
      id: uuidv7(at),
      at,
      caller: caller.name,
      agent: nameOf(world, id),
      keyHash,
      ...(name === undefined ? {} : { name }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    });
    // The only time that the key itself is shown.
    return jsonAnswer(201, { ...shownKey(kept), key });
  };

const listKeys =
  ({ guard, agents }: AgentParts): Endpoint =>
  async (c) => {
    await guard(c, "admin");
    // Keys of an agent that is no longer registered are still to be seen.
    const keys = await agents.agentKeys(c.req.param("id") ?? "");
    return jsonAnswer(200, { keys: keys.map(shownKey) });
  };

const revokeKey =
  ({ guard, agents, worlds, clock }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const at = clock();
    const key = await agents.changeAgentKey({
      verb: "revoke_key",
      id: uuidv7(at),
      at,
      caller: caller.name,
      agent: nameOf(worlds.current(), c.req.param("id") ?? ""),
      key: c.req.param("key") ?? "",
    });
    return jsonAnswer(200, shownKey(key));
  };

const unknownKey = (): Problem =>
  new Problem("not_found", "no agent is recognised by this key", { field: "key" });

/** Which of the kills in force fit an agent, by what stands above it too. */
export const killsOver = (lineage: readonly Agent[], kills: readonly Kill[]): Kill[] =>
  kills.filter(({ target: { kind, value } }) => {
    if (kind === "run") return false;
    return kind === "all" || lineage.some((each) => each[kind === "agent" ? "id" : kind] === value);
  });

/** What keeps an agent from acting, the worst first, and how it is told. */
const hindrances = [
  ["agent_revoked", "revoked"],
  ["agent_suspended", "suspended"],
  ["agent_unknown", "requested"],
  ["agent_expired", "expired"],
] as const;

/** Whether an agent may act now, with all that stands above it and everything that was stopped. */
const shownStanding = (lineage: readonly Agent[], kills: readonly Kill[], at: number): string => {
  const found = new Set<string>(lineage.map((each) => standing(each, at)));
  for (const { action } of killsOver(lineage, kills))
    found.add(action === "revoke" ? "agent_revoked" : "agent_suspended");
  return hindrances.find(([reason]) => found.has(reason))?.[1] ?? "active";
};

const recognise =
  ({ guard, agents, worlds, clock, limits }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "evaluate");
    const { key } = shaped(recogniseBody, await readBody(c, limits));
    const at = clock();
    // What can't be a key is looked up all the same, as one that nobody has.
    const hash = hashKey(isAgentKey(key) ? key : randomUUID());
    const id = await agents.agentOfKey(hash, at);
    const kills = await agents.standingKills();
    const world = worlds.current();
    // By its id alone: a key of an agent that is gone is not one of whoever is called the same.
    const agent = id === undefined ? undefined : world.registry.byId(id);
    if (!agent) throw unknownKey();
    const subject = { type: typeOf(world), id: agent.id };
    // A caller learns nothing of agents that it may not name; on whose behalf they will act isn't known yet.
    if (mayAsk({ ...caller, subjects: [] }, { subject, agents: [agent.id] })) throw unknownKey();
    const status = shownStanding(world.registry.lineage(agent), kills, at);
    return jsonAnswer(200, { agent: { ...subject, status } });
  };

/** Adds `/v1/agents/…`. An agent's id is one segment of the path, percent-encoded. */
export const addAgentRoutes = (app: Hono, parts: AgentParts, add: Add): void => {
  add(app, "post", "/v1/agents/recognise", recognise(parts));
  add(app, "get", "/v1/agents/:id/keys", listKeys(parts));
  add(app, "post", "/v1/agents/:id/keys", addKey(parts));
  add(app, "delete", "/v1/agents/:id/keys/:key", revokeKey(parts));
};

/** What requests bring, for their description. */
export const agentShapes: Record<"key" | "recognise", z.ZodType> = { key: keyBody, recognise: recogniseBody };
