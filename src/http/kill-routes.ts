/** The kill switch: stops agents, runs and what belongs to an owner or a team, in one call, until it is lifted. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Recognition } from "../agent/agent.ts";
import { holdFates, type Kill, type Target, targetKinds } from "../agent/store.ts";
import type { World } from "../decision/prepare.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { type AgentParts, nameOf } from "./agent-routes.ts";
import { jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { instantText, shaped } from "./shaped.ts";

const value = z.string().min(1).max(2048);
const reason = z.string().min(1).max(1000);

const target = z
  .strictObject({
    agent: value.optional(),
    run: value.optional(),
    owner: value.optional(),
    team: value.optional(),
    all: z.literal(true).optional(),
  })
  .refine((named) => Object.keys(named).length === 1, "must name one of agent, run, owner, team, or all");

const killBody = z.strictObject({
  target,
  action: z.enum(["suspend", "revoke"]).default("suspend"),
  holds: z.enum(holdFates).default("freeze"),
  reason,
});

const liftBody = z.strictObject({ reason });

const nameIn = (by: Recognition): string => {
  if ("clientId" in by) return by.clientId;
  return "spiffeId" in by ? by.spiffeId : by.jkt;
};

/**
 * An agent may be meant by what it is recognised by; a name that nobody has may be that of one to come.
 * @throws Problem `conflict` for a name that several agents have: it would stop none of them
 */
const agentMeant = ({ registry }: World, name: string): string => {
  if (registry.byId(name)) return name;
  const called = registry.agents.filter(({ recognisedBy }) => recognisedBy.some((by) => nameIn(by) === name));
  if (called.length > 1)
    throw new Problem(
      "conflict",
      `several agents are called \`${name}\`: name one of ${called.map(({ id }) => `\`${id}\``).join(", ")}`,
      { field: "target.agent" },
    );
  return called[0]?.id ?? name;
};

const targetOf = (world: World, named: z.infer<typeof target>): Target => {
  const kind = targetKinds.find((each) => named[each] !== undefined)!;
  const given = named[kind];
  const value = typeof given === "string" ? given : "";
  return { kind, value: kind === "agent" ? agentMeant(world, value) : value };
};

/** The registered agents that a target fits as they are now; those that come later are found as they ask. */
const agentsOf = ({ registry }: World, { kind, value: wanted }: Target): string[] => {
  if (kind === "run") return [];
  return registry.agents
    .filter((agent) => kind === "all" || agent[kind === "agent" ? "id" : kind] === wanted)
    .map(({ id }) => id);
};

const shownKill = (kill: Kill): Record<string, unknown> => ({
  id: kill.id,
  target: { [kill.target.kind]: kill.target.kind === "all" ? true : kill.target.value },
  action: kill.action,
  reason: kill.reason,
  by: kill.by,
  at: instantText(kill.at),
  ...(kill.liftedAt === undefined
    ? {}
    : { lifted_at: instantText(kill.liftedAt), lifted_by: kill.liftedBy, lift_reason: kill.liftReason }),
});

const kill =
  ({ guard, agents, worlds, clock, limits }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const body = shaped(killBody, await readBody(c, limits));
    const world = worlds.current();
    const wanted = targetOf(world, body.target);
    const at = clock();
    const made = await agents.kill({
      verb: "kill",
      id: uuidv7(at),
      at,
      caller: caller.name,
      target: wanted,
      action: body.action,
      holds: body.holds,
      reason: body.reason,
      agents: agentsOf(world, wanted).map((id) => nameOf(world, id)),
      ownerType: world.head.schema.userType ?? "",
    });
    return jsonAnswer(201, { kill: shownKill(made) });
  };

const lift =
  ({ guard, agents, clock, limits }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const body = shaped(liftBody, await readBody(c, limits));
    const at = clock();
    const lifted = await agents.kill({
      verb: "lift",
      id: uuidv7(at),
      at,
      caller: caller.name,
      kill: c.req.param("id") ?? "",
      reason: body.reason,
    });
    return jsonAnswer(200, { kill: shownKill(lifted) });
  };

const list =
  ({ guard, agents }: AgentParts): Endpoint =>
  async (c) => {
    await guard(c, "audit");
    return jsonAnswer(200, { kills: (await agents.kills()).map(shownKill) });
  };

/** Adds `/v1/kill`. */
export const addKillRoutes = (app: Hono, parts: AgentParts, add: Add): void => {
  add(app, "get", "/v1/kill", list(parts));
  add(app, "post", "/v1/kill", kill(parts));
  add(app, "post", "/v1/kill/:id/lift", lift(parts));
};

/** What requests bring, for their description. */
export const killShapes: Record<"kill" | "lift", z.ZodType> = { kill: killBody, lift: liftBody };
