/**
 * The entities a question is judged with, resolved when an evaluation gets to them: most of what is passed in is never
 * looked at. What was converted of an entity stays with it, so a stored one is converted once.
 */
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { Unrepresentable } from "./failure.ts";
import { type EntityRef, lazyRecord, type RecordValue } from "./value.ts";

/** What is known of one entity. */
export type KnownEntity = { attributes: RecordValue; tags: RecordValue };

export type KnownEntities = {
  /** Nothing where the entity isn't known. */
  find: (key: string) => KnownEntity | undefined;
  /** The keys of all ancestors. @throws Unrepresentable where an entity is its own */
  ancestors: (key: string) => ReadonlySet<string>;
};

const converted = new WeakMap<CedarEntity, KnownEntity>();

const knownEntity = (entity: CedarEntity): KnownEntity => {
  const before = converted.get(entity);
  if (before) return before;
  const known = { attributes: lazyRecord(entity.attrs), tags: lazyRecord(entity.tags ?? {}) };
  converted.set(entity, known);
  return known;
};

const none: ReadonlySet<string> = new Set();

/** @throws Unrepresentable where an entity is given twice */
export const knownEntities = (lists: readonly (readonly CedarEntity[])[]): KnownEntities => {
  const given = new Map<string, CedarEntity>();
  let count = 0;
  for (const list of lists) {
    count += list.length;
    for (const entity of list) given.set(uidKey(entity.uid), entity);
  }
  // Cedar takes two alike for one and refuses two that differ: the reference engine's to say.
  if (given.size !== count) throw new Unrepresentable("an entity is given twice");
  const above = new Map<string, ReadonlySet<string>>();
  const climb = (key: string, first: CedarEntity): ReadonlySet<string> => {
    const found = new Set<string>();
    const open: CedarEntity[] = [first];
    for (let entity = open.pop(); entity !== undefined; entity = open.pop()) {
      for (const parent of entity.parents) {
        const parentKey = uidKey(parent);
        if (found.has(parentKey)) continue;
        found.add(parentKey);
        const next = given.get(parentKey);
        if (next) open.push(next);
      }
    }
    if (found.has(key)) throw new Unrepresentable("an entity is its own ancestor");
    return found;
  };
  return {
    find: (key) => {
      const entity = given.get(key);
      return entity && knownEntity(entity);
    },
    ancestors: (key) => {
      const before = above.get(key);
      if (before) return before;
      const first = given.get(key);
      const found = first === undefined || first.parents.length === 0 ? none : climb(key, first);
      above.set(key, found);
      return found;
    },
  };
};

/** Cedar's `in`, of one entity in another: itself, or one of its ancestors. */
export const isIn = (entities: KnownEntities, entity: EntityRef, other: EntityRef): boolean =>
  entity.key === other.key || entities.ancestors(entity.key).has(other.key);
