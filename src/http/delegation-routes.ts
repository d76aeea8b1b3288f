/** Delegations for administrators: who lets which agent act for it, and in what. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Delegation, Scope } from "../agent/delegation.ts";
import type { AgentName, DelegationCommand } from "../agent/store.ts";
import type { World } from "../decision/prepare.ts";
import { entityTypeNamed } from "../entity/schema.ts";
import type { Uid } from "../kit/cedar-json.ts";
import { uuidv7 } from "../kit/id.ts";
import { Problem } from "../kit/problem.ts";
import { type AgentParts, agentNamed, nameOf, typeOf } from "./agent-routes.ts";
import { jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { instantOf, instantText, shaped } from "./shaped.ts";

const name = z.string().min(1).max(2048);
const party = z.strictObject({ type: name, id: name });
const reason = z.string().min(1).max(1000);
const listMax = 1000;
const depthMax = 16;

const delegateBody = z.strictObject({
  delegator: party,
  delegate: name,
  scope: z
    .strictObject({
      actions: z.array(name).min(1).max(listMax).optional(),
      resource_types: z.array(name).min(1).max(listMax).optional(),
      resources: z.array(party).min(1).max(listMax).optional(),
      condition: z.string().min(1).optional(),
    })
    .default({}),
  depth: z.number().int().min(0).max(depthMax).default(0),
  from: name.optional(),
  expires_at: z.iso.datetime({ offset: true }).optional(),
  reason,
});

const revokeBody = z.strictObject({ reason });
const listQuery = z.strictObject({ delegator: name.optional(), delegate: name.optional() });

const typeNamed = ({ head }: World, type: string, field: string): string => {
  const found = entityTypeNamed(head.schema, type);
  if (!found)
    throw new Problem("invalid_request", `${field}: the schema knows no type \`${type}\``, { field });
  return found.name;
};

const actionsNamed = ({ head }: World, names: readonly string[]): Uid[] =>
  names.flatMap((each) => {
    const found = head.schema.actionNames.get(each) ?? [];
    if (found.length === 0)
      throw new Problem("invalid_request", `scope.actions: the schema knows no action \`${each}\``, {
        field: "scope.actions",
      });
    return found.map(({ uid }) => uid);
  });

type RawScope = z.infer<typeof delegateBody>["scope"];

/** A scope in the schema's own names: an alias in it would be compared with nothing. */
const listsOf = (world: World, raw: RawScope): { scope: Scope; actions: Uid[] } => {
  const actions = raw.actions ? actionsNamed(world, raw.actions) : [];
  const resources = raw.resources?.map(({ type, id }) => ({
    type: typeNamed(world, type, "scope.resources"),
    id,
  }));
  const resourceTypes = raw.resource_types?.map((type) => typeNamed(world, type, "scope.resource_types"));
  return {
    actions,
    scope: {
      ...(raw.actions ? { actions: [...new Set(actions.map(({ id }) => id))] } : {}),
      ...(resourceTypes ? { resourceTypes } : {}),
      ...(resources ? { resources } : {}),
    },
  };
};

/** Which types a scope is for: those that it names, and of resources theirs; none: every one. */
const typesIn = ({ resourceTypes, resources }: Scope): string[] => [
  ...new Set(resourceTypes ?? resources?.map(({ type }) => type)),
];

/** @throws Problem `invalid_request` naming what of it is wrong */
const scopeOf = async ({ worlds, checkCondition }: AgentParts, raw: RawScope): Promise<Scope> => {
  const { scope, actions } = listsOf(worlds.current(), raw);
  const { condition: text } = raw;
  if (text === undefined) return scope;
  const { reach } = await checkCondition({ text, actions, resourceTypes: typesIn(scope) });
  return { ...scope, condition: { text, reach } };
};

const partyName = (world: World, { type, id }: { type: string; id: string }): AgentName => ({
  type,
  id,
  personal: world.head.schema.types.get(type)?.personal ?? true,
});

const shownDelegation = (each: Delegation): Record<string, unknown> => ({
  id: each.id,
  delegator: each.delegator,
  delegate: each.delegate,
  scope: {
    ...(each.scope.actions ? { actions: each.scope.actions } : {}),
    ...(each.scope.resourceTypes ? { resource_types: each.scope.resourceTypes } : {}),
    ...(each.scope.resources ? { resources: each.scope.resources } : {}),
    ...(each.scope.condition ? { condition: each.scope.condition.text } : {}),
  },
  depth: each.depth,
  ...(each.from === undefined ? {} : { from: each.from }),
  ...(each.expiresAt === undefined ? {} : { expires_at: instantText(each.expiresAt) }),
  reason: each.reason,
  by: each.by,
  at: instantText(each.at),
  ...(each.revokedAt === undefined
    ? {}
    : { revoked_at: instantText(each.revokedAt), revoked_by: each.revokedBy }),
});

/** @throws Problem `invalid_request` for an instant that is past or too far away */
const expiryOf = (text: string | undefined, at: number): { expiresAt?: number } => {
  if (text === undefined) return {};
  const expiresAt = instantOf(text);
  if (expiresAt <= at || !Number.isSafeInteger(expiresAt))
    throw new Problem("invalid_request", "expires_at: must be in the future, before the year 2255", {
      field: "expires_at",
    });
  return { expiresAt };
};

const delegate =
  (parts: AgentParts): Endpoint =>
  async (c) => {
    const { guard, agents, worlds, clock, limits } = parts;
    const caller = await guard(c, "admin");
    const body = shaped(delegateBody, await readBody(c, limits));
    const world = worlds.current();
    const type = typeNamed(world, body.delegator.type, "delegator.type");
    const isAgent = type === typeOf(world);
    const delegator = { type, id: isAgent ? agentNamed(world, body.delegator.id).id : body.delegator.id };
    const { id: to } = agentNamed(world, body.delegate);
    if (isAgent && delegator.id === to)
      throw new Problem("invalid_request", "delegate: must be another one than the delegator", {
        field: "delegate",
      });
    const at = clock();
    const command: DelegationCommand = {
      verb: "delegate",
      id: uuidv7(at),
      at,
      caller: caller.name,
      delegator,
      delegate: to,
      scope: await scopeOf(parts, body.scope),
      depth: body.depth,
      ...(body.from === undefined ? {} : { from: body.from }),
      ...expiryOf(body.expires_at, at),
      reason: body.reason,
      agentType: typeOf(world),
      names: { delegator: partyName(world, delegator), delegate: nameOf(world, to) },
    };
    return jsonAnswer(201, { delegation: shownDelegation(await agents.delegate(command)) });
  };

const revoke =
  ({ guard, agents, worlds, clock, limits }: AgentParts): Endpoint =>
  async (c) => {
    const caller = await guard(c, "admin");
    const body = shaped(revokeBody, await readBody(c, limits));
    const wanted = c.req.param("id") ?? "";
    const known = (await agents.delegations({})).find(({ id }) => id === wanted);
    if (!known)
      throw new Problem("not_found", `there is no delegation \`${wanted}\``, { field: "delegation" });
    const world = worlds.current();
    const at = clock();
    const revoked = await agents.delegate({
      verb: "revoke",
      id: uuidv7(at),
      at,
      caller: caller.name,
      delegation: wanted,
      reason: body.reason,
      names: { delegator: partyName(world, known.delegator), delegate: nameOf(world, known.delegate) },
    });
    return jsonAnswer(200, { delegation: shownDelegation(revoked) });
  };

const list =
  ({ guard, agents }: AgentParts): Endpoint =>
  async (c) => {
    await guard(c, "audit");
    const { delegator, delegate: to } = shaped(listQuery, c.req.query());
    const filter = {
      ...(delegator === undefined ? {} : { delegator }),
      ...(to === undefined ? {} : { delegate: to }),
    };
    return jsonAnswer(200, { delegations: (await agents.delegations(filter)).map(shownDelegation) });
  };

/** Adds `/v1/delegations`. */
export const addDelegationRoutes = (app: Hono, parts: AgentParts, add: Add): void => {
  add(app, "get", "/v1/delegations", list(parts));
  add(app, "post", "/v1/delegations", delegate(parts));
  add(app, "post", "/v1/delegations/:id/revoke", revoke(parts));
};

/** What requests bring, for their description. */
export const delegationShapes: Record<"delegate" | "revoke" | "list", z.ZodType> = {
  delegate: delegateBody,
  revoke: revokeBody,
  list: listQuery,
};
