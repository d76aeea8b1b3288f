/** Reads entity files (Cedar's entity JSON, YAML too) and checks them against the schema, naming file and place. */
import { z } from "zod";
import { type CedarEntity, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { LoadError, Place } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import { convertRecord, convertValue } from "./convert.ts";
import { type EntityType, entityTypeNamed, type SchemaModel } from "./schema.ts";

const isJson = (value: unknown): value is JsonValue =>
  typeof value !== "undefined" && typeof value !== "function";
const json = z.custom<JsonValue>(isJson);
const object = z.custom<JsonObject>(isObject, "expected an object");

type RawUid = Uid | { __entity: Uid };

const uid: z.ZodType<RawUid> = z.union([
  z.strictObject({ type: z.string(), id: z.string() }),
  z.strictObject({ __entity: z.strictObject({ type: z.string(), id: z.string() }) }),
]);

const members = {
  attrs: object.default({}),
  parents: z.array(uid).default([]),
  tags: z.record(z.string(), json).optional(),
};

type RawBody = { attrs: JsonObject; parents: RawUid[]; tags?: Record<string, JsonValue> | undefined };
type RawEntity = RawBody & { uid: RawUid };

/** An entity without its uid. */
export const bodyShape: z.ZodType<RawBody> = z.strictObject(members);
/** An entity as files and imports have it. */
export const entityShape: z.ZodType<RawEntity> = z.strictObject({ uid, ...members });
const entitiesShape = z.array(entityShape);

/** `schemas/entities.schema.json`. */
export const entitiesJsonSchema = (): string =>
  JSON.stringify({
    title: "Entities",
    ...z.toJSONSchema(entitiesShape, { io: "input", unrepresentable: "any" }),
  });

/** A reference in the form without `__entity`. */
export const plainUid = (value: RawUid): Uid => ("__entity" in value ? value.__entity : value);

/** An entity by its schema type, or what is wrong with it and where in it. */
export type Checked = { entity: CedarEntity } | { fault: string; path: readonly (string | number)[] };

const fault = (message: string, ...path: (string | number)[]): Checked => ({ fault: message, path });

const checkTags = (
  schema: SchemaModel,
  type: EntityType,
  tags: Record<string, JsonValue>,
): { tags: JsonObject } | { fault: string; path: string[] } => {
  const converted: JsonObject = {};
  for (const [name, value] of Object.entries(tags)) {
    if (!type.tags) return { fault: `\`${type.name}\` has no tags in the schema`, path: ["tags"] };
    const tag = convertValue(schema, value, type.tags, name);
    if ("mismatch" in tag) return { fault: `expected ${tag.mismatch.expected}`, path: ["tags", name] };
    if ("value" in tag) converted[name] = tag.value;
  }
  return { tags: converted };
};

/** The types an entity of `type` may have as ancestors, through types between. */
const ancestorTypes = (schema: SchemaModel, type: EntityType): Set<string> => {
  const found = new Set<string>();
  const open = [...type.memberOf];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    open.push(...(schema.types.get(name)?.memberOf ?? []));
  }
  return found;
};

/**
 * Checks attributes, parents and tags against the entity's type and gives the entity with explicit references.
 * Every declared attribute that isn't optional must be there; undeclared ones are faults.
 */
export const checkEntity = (
  schema: SchemaModel,
  type: EntityType,
  id: string,
  parts: { attrs: JsonObject; parents: readonly Uid[]; tags: Record<string, JsonValue> },
): Checked => {
  if (type.ids && !type.ids.includes(id))
    return fault(`\`${id}\` is not one of ${type.ids.join(", ")}`, "uid");
  for (const name of Object.keys(parts.attrs))
    if (!type.attributes.has(name))
      return fault(`\`${type.name}\` has no attribute \`${name}\``, "attrs", name);
  const converted = convertRecord(schema, parts.attrs, type.attributes, "attrs");
  if ("mismatch" in converted) {
    const { path, expected } = converted.mismatch;
    return fault(`${path}: expected ${expected}`, ...path.split("."));
  }
  for (const [name, { required }] of type.attributes)
    if (required && !Object.hasOwn(converted.record, name))
      return fault(`the attribute \`${name}\` of \`${type.name}\` is missing`, "attrs");
  const allowed = ancestorTypes(schema, type);
  const parents: Uid[] = [];
  for (const [position, parent] of parts.parents.entries()) {
    const parentType = entityTypeNamed(schema, parent.type);
    if (!parentType || !allowed.has(parentType.name))
      return fault(`\`${type.name}\` can't be in \`${parent.type}\``, "parents", position);
    parents.push({ type: parentType.name, id: parent.id });
  }
  const tags = checkTags(schema, type, parts.tags);
  if ("fault" in tags) return tags;
  const entity: CedarEntity = { uid: { type: type.name, id }, attrs: converted.record, parents };
  return { entity: Object.keys(tags.tags).length === 0 ? entity : { ...entity, tags: tags.tags } };
};

/** What is known of an entity besides its uid. */
export type Body = { attrs: JsonObject; parents: Uid[]; tags: Record<string, JsonValue> };

/** The body of an entity as it was brought. */
export const bodyOf = ({ attrs, parents, tags = {} }: RawBody): Body => ({
  attrs,
  parents: parents.map(plainUid),
  tags,
});

/** Checks an entity against the schema; agents have a registry of their own. */
export const checkBody = (schema: SchemaModel, { type: typeName, id }: Uid, body: Body): Checked => {
  const type = entityTypeNamed(schema, typeName);
  if (!type) return fault(`the schema declares no entity type \`${typeName}\``, "uid");
  if (type.name === schema.agentType) return fault("agents belong into `agents.yaml`", "uid");
  return checkEntity(schema, type, id, body);
};

export type EntityFile = { file: string; text: string };

/** Reads all entity files as one set: no uid twice, no cycle. Faults come back as values. */
export const readEntities = (
  schema: SchemaModel,
  files: readonly EntityFile[],
): { entities: CedarEntity[] } | { errors: LoadError[] } => {
  const errors: LoadError[] = [];
  const seen = new Map<string, Place>();
  const entities: CedarEntity[] = [];
  for (const { file, text } of files) {
    const read = readYamlAs(file, text, entitiesShape);
    if ("errors" in read) {
      errors.push(...read.errors);
      continue;
    }
    for (const [position, raw] of read.value.entries()) {
      const checked = checkBody(schema, plainUid(raw.uid), bodyOf(raw));
      if ("fault" in checked) {
        errors.push({ message: checked.fault, ...read.placeOf([position, ...checked.path]) });
        continue;
      }
      const { uid } = checked.entity;
      const place = read.placeOf([position, "uid"]);
      const first = seen.get(uidKey(uid));
      if (first)
        errors.push({
          message: `\`${uidText(uid)}\` stands already at ${first.file}:${first.line}`,
          ...place,
        });
      seen.set(uidKey(uid), place);
      entities.push(checked.entity);
    }
  }
  const cycle = cycleIn(entities);
  if (cycle) {
    const place = seen.get(uidKey(cycle)) ?? { file: files[0]?.file ?? "", line: 1, column: 1 };
    errors.push({ message: `\`${uidText(cycle)}\` is its own ancestor`, ...place });
  }
  return errors.length > 0 ? { errors } : { entities };
};

/** An entity on a cycle of parents, if there is one: what remains when entities without open parents are taken away. */
const cycleIn = (entities: readonly CedarEntity[]): Uid | undefined => {
  const waiting = new Map<string, number>();
  const children = new Map<string, string[]>();
  const known = new Map(entities.map((entity) => [uidKey(entity.uid), entity]));
  for (const [key, { parents }] of known) {
    const open = parents.map(uidKey).filter((parent) => known.has(parent));
    waiting.set(key, open.length);
    for (const parent of open) {
      const siblings = children.get(parent);
      if (siblings) siblings.push(key);
      else children.set(parent, [key]);
    }
  }
  const free = [...waiting].filter(([, open]) => open === 0).map(([key]) => key);
  for (let key = free.pop(); key !== undefined; key = free.pop()) {
    waiting.delete(key);
    for (const child of children.get(key) ?? []) {
      const open = waiting.get(child)! - 1;
      waiting.set(child, open);
      if (open === 0) free.push(child);
    }
  }
  const [stuck] = waiting.keys();
  return stuck === undefined ? undefined : known.get(stuck)?.uid;
};
