/**
 * Candidates by scope (sound slicing): a policy is left out only if a conjunct of its head is false for this
 * question and these entities. Heads are evaluated first and can't error, so a left-out policy is neither
 * satisfied nor erring, and the answer is that of the whole set (cedar-spec, Thm/Authorization/PolicySlice.lean).
 * A link of a template is a policy like any other, with its slots filled.
 */
import { type Uid, uidKey } from "../kit/cedar-json.ts";
import type { ActionScope, CompiledPolicy, Scope } from "./policy-set.ts";

/** One of a question's identities, with the keys of its ancestors in the entities given to the evaluator. */
export type Head = { uid: Uid; key: string; ancestors: ReadonlySet<string> };

export type Heads = { principal: Head; action: Head; resource: Head };

/** Positions of the candidates, ascending. */
export type ScopeIndex = (heads: Heads) => number[];

/** What is filed for one variable: for anything, for a type, for one entity, for what is in an entity. */
type Level<T> = {
  any: T | undefined;
  types: Map<string, T>;
  equals: Map<string, T>;
  groups: Map<string, T>;
};

const emptyLevel = <T>(): Level<T> => ({
  any: undefined,
  types: new Map(),
  equals: new Map(),
  groups: new Map(),
});

const madeIn = <T>(map: Map<string, T>, key: string, make: () => T): T => {
  const held = map.get(key) ?? make();
  map.set(key, held);
  return held;
};

/** Where in a level a head files its policy: everywhere it can hold, once for each bound. */
const placesFor = <T>(level: Level<T>, scope: Scope | ActionScope, make: () => T): T[] => {
  switch (scope.kind) {
    case "any":
      level.any ??= make();
      return [level.any];
    case "equal":
      return [madeIn(level.equals, uidKey(scope.uid), make)];
    case "in": {
      const bounds = "uids" in scope ? scope.uids : [scope.uid];
      return bounds.map((uid) => madeIn(level.groups, uidKey(uid), make));
    }
    case "is":
      return [
        scope.in ? madeIn(level.groups, uidKey(scope.in), make) : madeIn(level.types, scope.type, make),
      ];
  }
};

/** Shows `use` everything in a level that can hold of `head`. */
const visit = <T>(level: Level<T>, { uid, key, ancestors }: Head, use: (held: T) => void): void => {
  if (level.any !== undefined) use(level.any);
  for (const held of [level.types.get(uid.type), level.equals.get(key), level.groups.get(key)])
    if (held !== undefined) use(held);
  if (level.groups.size === 0) return;
  for (const ancestor of ancestors) {
    const held = level.groups.get(ancestor);
    // A head that is its own ancestor was met above.
    if (held !== undefined && ancestor !== key) use(held);
  }
};

type ByResource = Level<number[]>;
type ByPrincipal = Level<ByResource>;

/** An index over these policies; positions are theirs in the array. */
export const indexByScope = (
  policies: readonly Pick<CompiledPolicy, "principal" | "action" | "resource">[],
): ScopeIndex => {
  const byAction: Level<ByPrincipal> = emptyLevel();
  for (const [position, { principal, action, resource }] of policies.entries()) {
    for (const byPrincipal of placesFor(byAction, action, () => emptyLevel<ByResource>()))
      for (const byResource of placesFor(byPrincipal, principal, () => emptyLevel<number[]>()))
        for (const positions of placesFor(byResource, resource, () => [])) positions.push(position);
  }
  return ({ principal, action, resource }) => {
    const candidates: number[] = [];
    visit(byAction, action, (byPrincipal) =>
      visit(byPrincipal, principal, (byResource) =>
        visit(byResource, resource, (positions) => {
          for (const position of positions) candidates.push(position);
        }),
      ),
    );
    candidates.sort((a, b) => a - b);
    // A list of actions files its policy once for each of them.
    return candidates.filter((position, at) => position !== candidates[at - 1]);
  };
};
