/** What heads of policies can match under a schema: for lints that compare policies with one another and with the schema. */
import type { SchemaModel } from "../entity/schema.ts";
import { type CedarEntity, type SchemaJson, type Uid, uidKey } from "../kit/cedar-json.ts";
import type { ActionScope, CompiledPolicy, Scope } from "../policy/policy-set.ts";

/** An action that can be asked for. */
export type Action = {
  uid: Uid;
  principalTypes: readonly string[];
  resourceTypes: readonly string[];
  /** `uidKey` of itself and of the groups it is in. */
  groups: ReadonlySet<string>;
};

const groupsOf = (uid: Uid, known: ReadonlyMap<string, CedarEntity>): Set<string> => {
  const found = new Set<string>();
  const open = [uid];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (found.has(uidKey(at))) continue;
    found.add(uidKey(at));
    open.push(...(known.get(uidKey(at))?.parents ?? []));
  }
  return found;
};

/** The actions of a schema that apply to something; `entities` is their hierarchy. */
export const actionsOf = (json: SchemaJson, entities: readonly CedarEntity[]): Action[] => {
  const known = new Map(entities.map((entity) => [uidKey(entity.uid), entity]));
  return Object.entries(json).flatMap(([namespace, { actions }]) =>
    Object.entries(actions).flatMap(([id, { appliesTo }]): Action[] => {
      if (!appliesTo) return [];
      const { principalTypes, resourceTypes } = appliesTo;
      if (principalTypes.length === 0 || resourceTypes.length === 0) return [];
      const uid = { type: namespace === "" ? "Action" : `${namespace}::Action`, id };
      return [{ uid, principalTypes, resourceTypes, groups: groupsOf(uid, known) }];
    }),
  );
};

/** Whether entities of `type` are or can be in an entity of type `group`. */
export const canBeIn = (schema: SchemaModel, type: string, group: string): boolean => {
  const seen = new Set<string>();
  const open = [type];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at === group) return true;
    if (seen.has(at)) continue;
    seen.add(at);
    open.push(...(schema.types.get(at)?.memberOf ?? []));
  }
  return false;
};

/** Those of `types` that a scope lets through. */
export const typesIn = (schema: SchemaModel, scope: Scope, types: readonly string[]): string[] =>
  types.filter((type) => {
    switch (scope.kind) {
      case "any":
        return true;
      case "equal":
        return scope.uid.type === type;
      case "in":
        return canBeIn(schema, type, scope.uid.type);
      case "is":
        return scope.type === type;
    }
  });

const namesAction = (scope: ActionScope, { uid, groups }: Action): boolean => {
  if (scope.kind === "any") return true;
  return scope.kind === "equal"
    ? uidKey(scope.uid) === uidKey(uid)
    : scope.uids.some((group) => groups.has(uidKey(group)));
};

/** The actions that a policy's head can match. */
export const actionsIn = (
  schema: SchemaModel,
  { principal, action, resource }: CompiledPolicy,
  actions: readonly Action[],
): Action[] =>
  actions.filter(
    (each) =>
      namesAction(action, each) &&
      typesIn(schema, principal, each.principalTypes).length > 0 &&
      typesIn(schema, resource, each.resourceTypes).length > 0,
  );

/** Every combination of types that can be asked about and that a head lets through. */
const reachOf = (schema: SchemaModel, policy: CompiledPolicy, actions: readonly Action[]): string[] =>
  actions
    .filter((action) => namesAction(policy.action, action))
    .flatMap((action) =>
      typesIn(schema, policy.principal, action.principalTypes).flatMap((principal) =>
        typesIn(schema, policy.resource, action.resourceTypes).map((resource) =>
          JSON.stringify([principal, action.uid, resource]),
        ),
      ),
    );

/** Whether a scope speaks of types alone. */
const isTyped = (scope: Scope): boolean => scope.kind === "any" || (scope.kind === "is" && !scope.in);

/** Whether it forbids whatever its head lets through, and its head speaks of types and actions alone. */
const forbidsOutright = ({ effect, json, principal, resource }: CompiledPolicy): boolean =>
  effect === "forbid" && json.conditions.length === 0 && isTyped(principal) && isTyped(resource);

/**
 * Whether `wide`, which is `policy` with a wider scope, means the same among these policies: what else it lets through no
 * action applies to, so that it is denied before any policy is asked; or it is a permit, and others forbid that outright.
 */
export const widensNothing = (
  schema: SchemaModel,
  policy: CompiledPolicy,
  wide: CompiledPolicy,
  policies: readonly CompiledPolicy[],
  actions: readonly Action[],
): boolean => {
  const comparable = (["principal", "resource"] as const).every(
    (variable) =>
      scopeKey(policy[variable]) === scopeKey(wide[variable]) ||
      (isTyped(policy[variable]) && isTyped(wide[variable])),
  );
  const forbids = policy.effect === "permit" ? policies.filter(forbidsOutright) : [];
  const known = new Set([policy, ...forbids].flatMap((each) => reachOf(schema, each, actions)));
  return comparable && reachOf(schema, wide, actions).every((combination) => known.has(combination));
};

const same = (a: Uid, b: Uid): boolean => uidKey(a) === uidKey(b);

/** Whether `wide` lets everything through that `narrow` does, as far as the heads alone can tell. */
const coversScope = (wide: Scope, narrow: Scope): boolean => {
  switch (wide.kind) {
    case "any":
      return true;
    case "equal":
      return narrow.kind === "equal" && same(wide.uid, narrow.uid);
    case "in":
      if (narrow.kind === "is") return narrow.in !== undefined && same(wide.uid, narrow.in);
      return narrow.kind !== "any" && same(wide.uid, narrow.uid);
    case "is":
      if (narrow.kind === "equal") return wide.in === undefined && narrow.uid.type === wide.type;
      if (narrow.kind !== "is" || narrow.type !== wide.type) return false;
      return wide.in === undefined || (narrow.in !== undefined && same(wide.in, narrow.in));
  }
};

/** Whether the head of `wide` matches wherever that of `narrow` does. */
export const covers = (wide: CompiledPolicy, narrow: CompiledPolicy, actions: readonly Action[]): boolean =>
  coversScope(wide.principal, narrow.principal) &&
  coversScope(wide.resource, narrow.resource) &&
  actions.every((action) => !namesAction(narrow.action, action) || namesAction(wide.action, action));

const scopeKey = (scope: Scope): string => {
  switch (scope.kind) {
    case "any":
      return "*";
    case "equal":
      return `=${uidKey(scope.uid)}`;
    case "in":
      return `<${uidKey(scope.uid)}`;
    case "is":
      return `:${scope.type}${scope.in ? `<${uidKey(scope.in)}` : ""}`;
  }
};

/** The keys of all scopes that let everything through that this one does. */
const coveringScopeKeys = (scope: Scope): string[] => {
  const own = scopeKey(scope);
  switch (scope.kind) {
    case "any":
      return [own];
    case "equal":
      return ["*", own, `<${uidKey(scope.uid)}`, `:${scope.uid.type}`];
    case "in":
      return ["*", own];
    case "is":
      return scope.in ? ["*", own, `:${scope.type}`, `<${uidKey(scope.in)}`] : ["*", own];
  }
};

/** Under which a policy is found by `coveringKeys`. */
export const headKey = ({ principal, resource }: CompiledPolicy): string =>
  `${scopeKey(principal)} ${scopeKey(resource)}`;

/** The keys of all heads that can cover this one: where there are many policies, few need to be compared. */
export const coveringKeys = ({ principal, resource }: CompiledPolicy): string[] =>
  coveringScopeKeys(principal).flatMap((key) =>
    coveringScopeKeys(resource).map((other) => `${key} ${other}`),
  );
