/** What an evaluation can reach from the entities a question names: neither more to convert nor less to know. */
import { type CedarEntity, type Uid, uidKey } from "../kit/cedar-json.ts";
import { isObject, type JsonValue } from "../kit/json.ts";

/** Entities by the keys of their uids; `values` gives each once. */
export type EntityIndex = Pick<ReadonlyMap<string, CedarEntity>, "get"> & {
  values: () => Iterable<CedarEntity>;
};

export const indexEntities = (entities: readonly CedarEntity[]): EntityIndex =>
  new Map(entities.map((entity) => [uidKey(entity.uid), entity]));

/** The entities a converted value refers to. */
export const referencesIn = (value: JsonValue): Uid[] => {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isObject(value)) return [];
  const reference = value["__entity"];
  if (isObject(reference)) {
    const { type, id } = reference;
    return typeof type === "string" && typeof id === "string" ? [{ type, id }] : [];
  }
  return Object.values(value).flatMap(referencesIn);
};

/** Stored entities are immutable, so what they refer to is found once. */
const references = new WeakMap<CedarEntity, Uid[]>();

const referencesOf = (entity: CedarEntity): Uid[] => {
  const known = references.get(entity);
  if (known) return known;
  const found = [...referencesIn(entity.attrs), ...referencesIn(entity.tags ?? {})];
  references.set(entity, found);
  return found;
};

/**
 * The entities an evaluation needs. `own` are the question's own, already merged; `named` are further ones it starts
 * from. `reach` bounds how many entities in a row a policy looks into, so what lies further is left out. Ancestors
 * come along for `in`, without attributes unless they are reached as well.
 */
export const closureOf = (
  stored: EntityIndex,
  own: readonly CedarEntity[],
  named: readonly Uid[],
  reach: number,
): CedarEntity[] => {
  const found = new Map(own.map((entity) => [uidKey(entity.uid), entity]));
  let edge: Uid[] = [...named, ...own.flatMap(referencesOf)];
  for (const uid of named) {
    const entity = stored.get(uidKey(uid));
    if (entity && !found.has(uidKey(uid))) found.set(uidKey(uid), entity);
    if (entity) edge.push(...referencesOf(entity));
  }
  for (let distance = 1; distance < reach && edge.length > 0; distance++) {
    const next: Uid[] = [];
    for (const uid of edge) {
      const key = uidKey(uid);
      const entity = stored.get(key);
      if (!entity || found.has(key)) continue;
      found.set(key, entity);
      next.push(...referencesOf(entity));
    }
    edge = next;
  }
  return [...found.values(), ...ancestorsOf(stored, found)];
};

const ancestorsOf = (stored: EntityIndex, found: ReadonlyMap<string, CedarEntity>): CedarEntity[] => {
  const ancestors = new Map<string, CedarEntity>();
  const open = [...found.values()].flatMap(({ parents }) => parents);
  for (let uid = open.pop(); uid !== undefined; uid = open.pop()) {
    const key = uidKey(uid);
    if (found.has(key) || ancestors.has(key)) continue;
    const parents = stored.get(key)?.parents ?? [];
    ancestors.set(key, { uid, attrs: {}, parents });
    open.push(...parents);
  }
  return [...ancestors.values()];
};
