/**
 * The entities a question is judged with, resolved when an evaluation gets to them, and then once: most of what is
 * passed in is never looked at.
 */
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { Unrepresentable } from "./failure.ts";
import { type EntityRef, lazyRecord, noRecord, type RecordValue } from "./value.ts";

/** What is known of one entity. */
export type KnownEntity = { attributes: RecordValue; tags: RecordValue; parents: readonly string[] };

export type KnownEntities = {
  /** Nothing where the entity isn't known. */
  find: (key: string) => KnownEntity | undefined;
  /** The keys of all ancestors. @throws Unrepresentable where an entity is its own */
  ancestors: (key: string) => ReadonlySet<string>;
};

const none: ReadonlySet<string> = new Set();

const knownEntity = ({ attrs, tags, parents }: CedarEntity): KnownEntity => ({
  attributes: lazyRecord(attrs),
  tags: tags ? lazyRecord(tags) : noRecord,
  parents: parents.map(uidKey),
});

/** @throws Unrepresentable where an entity is given twice */
export const knownEntities = (lists: readonly (readonly CedarEntity[])[]): KnownEntities => {
  const given = new Map<string, CedarEntity>();
  const found = new Map<string, KnownEntity>();
  const above = new Map<string, ReadonlySet<string>>();
  let count = 0;
  for (const list of lists) {
    count += list.length;
    for (const entity of list) given.set(uidKey(entity.uid), entity);
  }
  // Cedar takes two alike for one and refuses two that differ: the reference engine's to say.
  if (given.size !== count) throw new Unrepresentable("an entity is given twice");
  const find = (key: string): KnownEntity | undefined => {
    const before = found.get(key);
    if (before) return before;
    const entity = given.get(key);
    if (!entity) return undefined;
    const known = knownEntity(entity);
    found.set(key, known);
    return known;
  };
  const climb = (key: string, parents: readonly string[]): ReadonlySet<string> => {
    const ancestors = new Set(parents);
    // What is added to a set while it is walked is walked too.
    for (const ancestor of ancestors)
      for (const parent of find(ancestor)?.parents ?? []) ancestors.add(parent);
    if (ancestors.has(key)) throw new Unrepresentable("an entity is its own ancestor");
    return ancestors;
  };
  return {
    find,
    ancestors: (key) => {
      const before = above.get(key);
      if (before) return before;
      const parents = find(key)?.parents ?? [];
      const ancestors = parents.length === 0 ? none : climb(key, parents);
      above.set(key, ancestors);
      return ancestors;
    },
  };
};

/** Cedar's `in`, of one entity in another: itself, or one of its ancestors. */
export const isIn = (entities: KnownEntities, entity: EntityRef, other: EntityRef): boolean =>
  entity.key === other.key || entities.ancestors(entity.key).has(other.key);
