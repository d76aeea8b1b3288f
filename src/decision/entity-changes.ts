/** What may become of the store's entities: checked against schema, files and store before anything is written. */
import { type Body, checkBody, type Checked } from "../entity/read-entities.ts";
import type { KeptEntities } from "../entity/kept-entities.ts";
import type { SchemaModel } from "../entity/schema.ts";
import type { EntityChange, KeptEntity } from "../entity/store.ts";
import { type CedarEntity, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import { canonicalJson, sha256 } from "../kit/digest.ts";
import { Problem } from "../kit/problem.ts";
import type { World } from "./prepare.ts";

/** What the store and the files know together. */
export type Known = { world: World; kept: KeptEntities };

/** An entity to put in, and what stands before its fields in messages. */
export type Put = { uid: Uid; body: Body };

export type EntityView = {
  entity: CedarEntity;
  /** Where it stands; what a file says of it wins. */
  source: "file" | "store";
  /** As it was put in, where it is in the store. */
  kept?: KeptEntity;
  /** Whether the schema and the files still allow it. */
  fits: boolean;
};

/** What is in force of an entity; agents aside, which have a registry of their own. */
export const viewOf = ({ world, kept }: Known, key: string): EntityView | undefined => {
  const { head, entities, misfits } = world;
  const entity = entities.get(key);
  if (!entity || entity.uid.type === head.schema.agentType) return undefined;
  const stored = kept.kept.get(key);
  const isStored = stored !== undefined && kept.fitted(head.schema).entities.get(key) === entity;
  return {
    entity,
    source: isStored ? "store" : "file",
    ...(isStored ? { kept: stored } : {}),
    fits: !isStored || !(misfits?.has(key) ?? false),
  };
};

/** Names a version of an entity, as an HTTP entity tag (RFC 9110 §8.8.3). */
export const tagOf = ({ entity, kept }: EntityView): string =>
  `"${sha256(kept?.body ?? canonicalJson(entity))
    .toString("hex")
    .slice(0, 32)}"`;

const personal = (schema: SchemaModel, type: string): boolean => schema.types.get(type)?.personal ?? true;

/** The declared uid of a name. @throws Problem `invalid_request` for a type that the schema doesn't know */
export const uidOf = ({ world }: Known, { type, id }: Uid): Uid => {
  const name = world.head.schema.typeNames.get(type);
  if (name === undefined)
    throw new Problem("invalid_request", `type: the schema declares no entity type \`${type}\``, {
      field: "type",
    });
  if (name === world.head.schema.agentType)
    throw new Problem("invalid_request", "type: agents are registered at /v1/agents", { field: "type" });
  return { type: name, id };
};

const refuse = (message: string, field: string, at: string): never => {
  const own = message.startsWith(`${field}:`) ? "" : field;
  const said = [at, own, message].filter((part) => part !== "").join(": ");
  throw new Problem("invalid_request", said, { field });
};

const entityOf = (checked: Checked, at: string): CedarEntity =>
  "entity" in checked ? checked.entity : refuse(checked.fault, checked.path.map(String).join("."), at);

type Lookup = (key: string) => CedarEntity | undefined;

/** @throws Problem naming a parent that nobody knows, or through which the entity would be its own ancestor */
const checkParents = (schema: SchemaModel, { uid, parents }: CedarEntity, at: string, find: Lookup): void => {
  const own = uidKey(uid);
  for (const [position, parent] of parents.entries()) {
    const isEnumerated = schema.types.get(parent.type)?.ids?.includes(parent.id) ?? false;
    if (!find(uidKey(parent)) && !isEnumerated)
      refuse(`there is no \`${uidText(parent)}\``, `parents.${position}`, at);
    const seen = new Set<string>();
    const open = [parent];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const key = uidKey(next);
      if (key === own) refuse(`\`${uidText(uid)}\` would be its own ancestor`, `parents.${position}`, at);
      if (seen.has(key)) continue;
      seen.add(key);
      open.push(...(find(key)?.parents ?? []));
    }
  }
};

const bodyText = ({ attrs, tags }: Body, { parents }: CedarEntity): string =>
  canonicalJson({ attrs, parents, tags });

/**
 * The changes that put these entities in; those that are there already as they are, are left out. Entities put in
 * together may be one another's parents. `place` says where an entity stands in the request.
 * @throws Problem `invalid_request` naming the field, `conflict` for an entity of a file
 */
export const putChanges = (
  known: Known,
  puts: readonly Put[],
  place: (position: number) => string = () => "",
): EntityChange[] => {
  const { world, kept } = known;
  const { schema } = world.head;
  const added = new Map<string, CedarEntity>();
  const checked = puts.map(({ uid, body }, position) => {
    const at = place(position);
    const entity = entityOf(checkBody(schema, uid, body), at);
    const key = uidKey(entity.uid);
    if (viewOf(known, key)?.source === "file")
      throw new Problem(
        "conflict",
        `${at === "" ? "" : `${at}: `}\`${uidText(entity.uid)}\` stands in a file: change it there`,
        {
          field: "uid",
        },
      );
    if (added.has(key)) refuse(`\`${uidText(entity.uid)}\` stands there twice`, "uid", at);
    added.set(key, entity);
    return { entity, key, at, text: bodyText(body, entity) };
  });
  const find: Lookup = (key) => added.get(key) ?? world.entities.get(key);
  for (const { entity, at } of checked) checkParents(schema, entity, at, find);
  return checked
    .filter(({ key, text }) => kept.kept.get(key)?.body !== text)
    .map(({ entity: { uid }, text }) => ({ uid, personal: personal(schema, uid.type), body: text }));
};

/** The change that takes an entity out. @throws Problem `not_found`, `conflict` for one of a file or with children */
export const deleteChange = (known: Known, uid: Uid): EntityChange => {
  const { world, kept } = known;
  const key = uidKey(uid);
  const view = viewOf(known, key);
  // One that a file has taken over may still be taken out of the store.
  if (kept.kept.get(key) === undefined) {
    if (view)
      throw new Problem("conflict", `\`${uidText(uid)}\` stands in a file: change it there`, { field: "id" });
    throw new Problem("not_found", `there is no entity \`${uidText(uid)}\``, { field: "id" });
  }
  if (view?.source === "store")
    for (const child of world.entities.values())
      if (child.parents.some((parent) => uidKey(parent) === key))
        throw new Problem("conflict", `\`${uidText(uid)}\` is a parent of \`${uidText(child.uid)}\``, {
          field: "parents",
        });
  return { uid, personal: personal(world.head.schema, uid.type) };
};
