/**
 * Candidates by scope (sound slicing): a policy is left out only if a conjunct of its head is false for this
 * question and these entities. Heads are evaluated first and can't error, so a left-out policy is neither
 * satisfied nor erring, and the answer is that of the whole set (cedar-spec, Thm/Authorization/PolicySlice.lean).
 */
import { type Uid, uidKey } from "../kit/cedar-json.ts";
import type { ActionScope, CompiledPolicy, Scope } from "./policy-set.ts";

/** A question's identities, each with its ancestors in the entities given to the evaluator. */
export type Heads = {
  principal: Uid;
  principalAncestors: readonly string[];
  action: Uid;
  actionAncestors: readonly string[];
  resource: Uid;
  resourceAncestors: readonly string[];
};

/** Positions of the candidates, ascending. */
export type ScopeIndex = (heads: Heads) => number[];

/** The key under which a head files its policy: each kind has its own, so that none meets another by chance. */
const filedUnder = (scope: Scope): string => {
  if (scope.kind === "any") return "*";
  if (scope.kind === "equal") return `=${uidKey(scope.uid)}`;
  if (scope.kind === "in") return `<${uidKey(scope.uid)}`;
  return scope.in ? `<${uidKey(scope.in)}` : `:${scope.type}`;
};

const keysOf = (uid: Uid, ancestors: readonly string[]): string[] => {
  const self = uidKey(uid);
  return ["*", `:${uid.type}`, `=${self}`, `<${self}`, ...ancestors.map((key) => `<${key}`)];
};

const actionMatches = (scope: ActionScope, action: string, ancestors: readonly string[]): boolean => {
  if (scope.kind === "any") return true;
  if (scope.kind === "equal") return uidKey(scope.uid) === action;
  return scope.uids.some((uid) => uidKey(uid) === action || ancestors.includes(uidKey(uid)));
};

/** An index over these policies; positions are theirs in the array. */
export const indexByScope = (policies: readonly CompiledPolicy[]): ScopeIndex => {
  const byPrincipal = new Map<string, Map<string, number[]>>();
  for (const [position, { principal, resource }] of policies.entries()) {
    const principalKey = filedUnder(principal);
    const byResource = byPrincipal.get(principalKey) ?? new Map<string, number[]>();
    byPrincipal.set(principalKey, byResource);
    const resourceKey = filedUnder(resource);
    const positions = byResource.get(resourceKey) ?? [];
    byResource.set(resourceKey, positions);
    positions.push(position);
  }
  return ({ principal, principalAncestors, action, actionAncestors, resource, resourceAncestors }) => {
    const actionKey = uidKey(action);
    const resourceKeys = keysOf(resource, resourceAncestors);
    const candidates: number[] = [];
    for (const principalKey of keysOf(principal, principalAncestors)) {
      const byResource = byPrincipal.get(principalKey);
      if (!byResource) continue;
      for (const resourceKey of resourceKeys) {
        for (const position of byResource.get(resourceKey) ?? []) {
          if (actionMatches(policies[position]!.action, actionKey, actionAncestors))
            candidates.push(position);
        }
      }
    }
    return candidates.sort((a, b) => a - b);
  };
};
