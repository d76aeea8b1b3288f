/** Delegations: who lets which agent act for it, in what, how long, and whether it may be passed on. Pure rules. */
import type { Micros } from "../kit/clock.ts";

export type Party = { type: string; id: string };

/** A Cedar condition on what is delegated, and how many entities in a row it looks into. */
export type Condition = { text: string; reach: number };

/**
 * What is delegated: what is absent is not limited. Actions and types are the schema's own names. The condition is asked of the
 * delegate, and of the question itself.
 */
export type Scope = {
  actions?: string[];
  resourceTypes?: string[];
  resources?: Party[];
  condition?: Condition;
};

export type Delegation = {
  id: string;
  delegator: Party;
  /** The agent that may act for the delegator. */
  delegate: string;
  scope: Scope;
  /** How many times it may be passed on. */
  depth: number;
  /** The delegation that it passes on. */
  from?: string;
  expiresAt?: Micros;
  reason: string;
  by: string;
  at: Micros;
  revokedAt?: Micros;
  revokedBy?: string;
};

const same = (a: Party, b: Party): boolean => a.type === b.type && a.id === b.id;

/** Whether a scope's lists hold an action on a resource. */
export const inScope = (
  { actions, resourceTypes, resources }: Scope,
  asked: { action: string; resource: Party },
): boolean =>
  (actions === undefined || actions.includes(asked.action)) &&
  (resourceTypes === undefined || resourceTypes.includes(asked.resource.type)) &&
  (resources === undefined || resources.some((each) => same(each, asked.resource)));

const within = <T>(
  inner: readonly T[] | undefined,
  outer: readonly T[] | undefined,
  equal: (a: T, b: T) => boolean,
): boolean =>
  outer === undefined || (inner?.every((one) => outer.some((other) => equal(one, other))) ?? false);

const equal = (a: string, b: string): boolean => a === b;

/**
 * Whether a scope's lists hold nothing that another's don't; resources are of their types. Of conditions nothing needs to be
 * compared: those of the delegations that are passed on have to hold, too.
 */
export const isNarrower = (inner: Scope, outer: Scope): boolean => {
  const types = inner.resourceTypes ?? inner.resources?.map(({ type }) => type);
  return (
    within(inner.actions, outer.actions, equal) &&
    within(types, outer.resourceTypes, equal) &&
    within(inner.resources, outer.resources, same)
  );
};

/** Whether a delegation is in force at an instant, itself; those it passes on have to be, too. */
export const isInForce = ({ revokedAt, expiresAt }: Delegation, at: Micros): boolean =>
  revokedAt === undefined && (expiresAt === undefined || expiresAt > at);

/** Why a delegation can't pass another one on, if it can't. */
export const passingFault = (
  passed: Pick<Delegation, "delegator" | "scope" | "depth" | "expiresAt">,
  from: Delegation,
  at: Micros,
  agentType: string,
): { field: string; fault: string } | undefined => {
  if (!isInForce(from, at)) return { field: "from", fault: "is not in force" };
  if (!same(passed.delegator, { type: agentType, id: from.delegate }))
    return { field: "delegator", fault: `must be \`${from.delegate}\`, whom it was delegated to` };
  if (passed.depth >= from.depth)
    return {
      field: "depth",
      fault: from.depth === 0 ? "it may not be passed on" : `must be less than ${from.depth}`,
    };
  if (from.expiresAt !== undefined && (passed.expiresAt ?? Infinity) > from.expiresAt)
    return { field: "expires_at", fault: "must not be later than that of the delegation it passes on" };
  if (!isNarrower(passed.scope, from.scope)) return { field: "scope", fault: "holds more than it was given" };
  return undefined;
};

/** How far the conditions of delegations that aren't revoked look. */
export const reachOfConditions = (delegations: readonly Delegation[]): number =>
  Math.max(
    1,
    ...delegations.map(({ scope, revokedAt }) =>
      revokedAt === undefined ? (scope.condition?.reach ?? 1) : 1,
    ),
  );
