/**
 * What permits of a policy set can apply to, by their heads alone: nobody is permitted anything that no head allows, so a
 * search need look no further. Sound, as heads are evaluated first and can't err (see `indexByScope`).
 */
import { type CedarEntity, type Uid, uidKey } from "../kit/cedar-json.ts";
import type { ActionScope, PolicySet, Scope } from "./policy-set.ts";

/** The head of one or more permits; `actions` are the keys of all that it allows, groups resolved. Plain data. */
export type PermitScope = { principal: Scope; actions: "any" | readonly string[]; resource: Scope };

const isIn = (
  parents: ReadonlyMap<string, readonly Uid[]>,
  action: string,
  groups: readonly string[],
): boolean => {
  const seen = new Set<string>();
  const open = [action];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    if (groups.includes(key)) return true;
    if (seen.has(key)) continue;
    seen.add(key);
    open.push(...(parents.get(key) ?? []).map(uidKey));
  }
  return false;
};

const actionsOf = (scope: ActionScope, actions: readonly CedarEntity[]): PermitScope["actions"] => {
  switch (scope.kind) {
    case "any":
      return "any";
    case "equal":
      return [uidKey(scope.uid)];
    case "in": {
      const parents = new Map(actions.map(({ uid, parents: up }) => [uidKey(uid), up]));
      const groups = scope.uids.map(uidKey);
      return [...parents.keys()].filter((key) => isIn(parents, key, groups));
    }
  }
};

/** The heads of the permits, each once. */
export const permitScopes = ({
  policies,
  actions,
}: Pick<PolicySet, "policies" | "actions">): PermitScope[] => {
  const heads = new Map<string, PermitScope>();
  for (const { effect, principal, action, resource } of policies) {
    if (effect !== "permit") continue;
    const name = JSON.stringify([principal, action, resource]);
    if (!heads.has(name)) heads.set(name, { principal, actions: actionsOf(action, actions), resource });
  }
  return [...heads.values()];
};

/** An identity, and the keys of everything that it is in, itself included. */
export type Placed = { uid: Uid; within: ReadonlySet<string> };

const holds = (scope: Scope, { uid, within }: Placed): boolean => {
  switch (scope.kind) {
    case "any":
      return true;
    case "equal":
      return uidKey(scope.uid) === uidKey(uid);
    case "in":
      return within.has(uidKey(scope.uid));
    case "is":
      return uid.type === scope.type && (scope.in === undefined || within.has(uidKey(scope.in)));
  }
};

/** Whether anything of a type may be allowed (`every`), or only what is one of these or in one of these. */
export type Bounds = "every" | ReadonlySet<string>;

/**
 * What the searched one must be, or be in, for some permit's head to allow it: heads that the fixed one and the action
 * rule out don't count.
 */
export const boundsOf = (
  permits: readonly PermitScope[],
  searched: "principal" | "resource",
  type: string,
  fixed: Placed,
  action: string,
): Bounds => {
  const other = searched === "principal" ? "resource" : "principal";
  const keys = new Set<string>();
  for (const permit of permits) {
    if (permit.actions !== "any" && !permit.actions.includes(action)) continue;
    if (!holds(permit[other], fixed)) continue;
    const scope = permit[searched];
    if (scope.kind === "any") return "every";
    if (scope.kind === "is") {
      if (scope.type !== type) continue;
      if (scope.in === undefined) return "every";
      keys.add(uidKey(scope.in));
    } else keys.add(uidKey(scope.uid));
  }
  return keys;
};
