/** The known entities of a type, for search: by id, in one order that pages can go on from. */
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import type { EntityIndex } from "./closure.ts";

/** Looked at in one go; between two goes others have their turn. */
const sliceSize = 5000;

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

const byType = async (entities: EntityIndex): Promise<ReadonlyMap<string, readonly CedarEntity[]>> => {
  const types = new Map<string, CedarEntity[]>();
  let seen = 0;
  for (const entity of entities.values()) {
    const { type } = entity.uid;
    const known = types.get(type);
    if (known) known.push(entity);
    else types.set(type, [entity]);
    if (++seen % sliceSize === 0) await turn();
  }
  for (const list of types.values()) {
    // Files are read in this order already, so that the sort has little to do.
    list.sort((a, b) => (a.uid.id < b.uid.id ? -1 : 1));
    await turn();
  }
  return types;
};

/** An index is immutable, so its types are told apart once. */
const told = new WeakMap<EntityIndex, Promise<ReadonlyMap<string, readonly CedarEntity[]>>>();

/** The known entities of a type, ascending by id in UTF-16 units. */
export const entitiesOfType = async (
  entities: EntityIndex,
  type: string,
): Promise<readonly CedarEntity[]> => {
  const types = told.get(entities) ?? byType(entities);
  told.set(entities, types);
  return (await types).get(type) ?? [];
};

/** The keys of all that an entity is in, itself included. */
export const ancestorKeys = (entities: EntityIndex, start: string): ReadonlySet<string> => {
  const found = new Set([start]);
  const open = [start];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    for (const uid of entities.get(key)?.parents ?? []) {
      const parent = uidKey(uid);
      if (found.has(parent)) continue;
      found.add(parent);
      open.push(parent);
    }
  }
  return found;
};
