/** Joins the entities of the files with those of the store. Where both know one, the file says what it is. */
import type { EntityIndex } from "../entity/closure.ts";
import type { KeptEntities } from "../entity/kept-entities.ts";
import type { Layered } from "../entity/layered.ts";
import { type CedarEntity, uidKey } from "../kit/cedar-json.ts";
import { digestOf } from "../kit/digest.ts";
import type { World } from "./prepare.ts";

/** The files' entities over those of the store. */
const over = (files: EntityIndex, kept: Layered<CedarEntity>): EntityIndex => ({
  get: (key) => files.get(key) ?? kept.get(key),
  *values() {
    yield* files.values();
    for (const [key, entity] of kept.entries()) if (files.get(key) === undefined) yield entity;
  },
});

/** An entity of the store that is its own ancestor through one of the files: whatever a hierarchy says of it is doubtful. */
const isOwnAncestor = (index: EntityIndex, { uid, parents }: CedarEntity): boolean => {
  const seen = new Set<string>();
  const open = [...parents];
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    const key = uidKey(parent);
    if (key === uidKey(uid)) return true;
    if (seen.has(key)) continue;
    seen.add(key);
    open.push(...(index.get(key)?.parents ?? []));
  }
  return false;
};

/** Files → keys of the store's entities that they closed a circle with. Changes through the API are checked as they come. */
const circles = new WeakMap<EntityIndex, string[]>();

const cyclicIn = (files: EntityIndex, kept: Layered<CedarEntity>, index: EntityIndex): string[] => {
  const isCyclic = (entity: CedarEntity | undefined): boolean =>
    entity !== undefined && isOwnAncestor(index, entity);
  const known = circles.get(files);
  if (known) return known.filter((key) => isCyclic(kept.get(key)));
  const found: string[] = [];
  for (const [key, entity] of kept.entries()) if (isCyclic(entity)) found.push(key);
  circles.set(files, found);
  return found;
};

/** The world with what the store knows of entities; `files` are those of the files alone. */
export const withKeptEntities = (world: World, kept: KeptEntities | undefined, files: EntityIndex): World => {
  if (!kept || kept.digest === "") return world;
  const { head, entities: known } = world;
  const { entities, misfits } = kept.fitted(head.schema);
  const index = over(known, entities);
  const cyclic = cyclicIn(files, entities, index);
  return {
    ...world,
    head: { ...head, entitiesDigest: digestOf({ files: head.entitiesDigest, kept: kept.digest }) },
    entities: index,
    misfits: cyclic.length === 0 ? misfits : new Set([...misfits, ...cyclic]),
  };
};
