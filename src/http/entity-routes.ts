/** Entities for administrators: what Cedar knows of subjects and resources, of files and put in at run time. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import {
  deleteChange,
  type EntityView,
  type Known,
  putChanges,
  tagOf,
  uidOf,
  viewOf,
} from "../decision/entity-changes.ts";
import { type Body, bodyOf, bodyShape } from "../entity/read-entities.ts";
import type { EntityChange, EntityCommand } from "../entity/store.ts";
import { type CedarEntity, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import { uuidv7 } from "../kit/id.ts";
import { isObject, type JsonObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { readBody } from "./body.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import { importAnswer } from "./entity-import.ts";
import { type EntityParts, knownOf } from "./entity-parts.ts";
import { instantText, shaped } from "./shaped.ts";

const listQuery = z.strictObject({
  type: z.string().optional(),
  source: z.enum(["file", "store"]).optional(),
  parent_type: z.string().optional(),
  parent_id: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().optional(),
});

const members = z.custom<JsonObject>(isObject, "expected an object").meta({ type: "object" });

const patchShape = z.strictObject({
  attrs: members.optional(),
  parents: z.array(z.strictObject({ type: z.string(), id: z.string() })).optional(),
  tags: members.optional(),
});

const bodyIn = ({ kept, entity }: EntityView): Body => {
  const { attrs, parents, tags = {} } = entity;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `putChanges`
  return kept ? (JSON.parse(kept.body) as Body) : { attrs, parents, tags };
};

const shown = (view: EntityView): Record<string, unknown> => {
  const { entity, source, kept, fits } = view;
  const { attrs, parents, tags } = bodyIn(view);
  return {
    uid: entity.uid,
    attrs,
    parents,
    ...(Object.keys(tags).length === 0 ? {} : { tags }),
    source,
    ...(kept ? { updated_at: instantText(kept.at), updated_by: kept.by } : {}),
    ...(fits ? {} : { fits }),
  };
};

const answer = (status: number, view: EntityView): Answer =>
  jsonAnswer(status, { entity: shown(view) }, { ETag: tagOf(view) });

/** The first `count` of the keys that pass, in order, without sorting all of them. */
const firstKeys = (
  entities: Iterable<CedarEntity>,
  passes: (key: string, entity: CedarEntity) => boolean,
  count: number,
): string[] => {
  let keys: string[] = [];
  let highest: string | undefined;
  const settle = (): void => {
    keys = keys.sort().slice(0, count);
    if (keys.length === count) highest = keys.at(-1);
  };
  for (const entity of entities) {
    const key = uidKey(entity.uid);
    if ((highest !== undefined && key > highest) || !passes(key, entity)) continue;
    keys.push(key);
    if (keys.length >= 4 * count) settle();
  }
  settle();
  return keys;
};

const parentOf = (
  known: Known,
  { parent_type: type, parent_id: id }: { parent_type?: string | undefined; parent_id?: string | undefined },
): string | undefined => {
  if ((type === undefined) !== (id === undefined))
    throw new Problem("invalid_request", "parent_type and parent_id go together", { field: "parent_id" });
  return type === undefined || id === undefined ? undefined : uidKey(uidOf(known, { type, id }));
};

const listEntities =
  (parts: EntityParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "admin");
    const query = shaped(listQuery, c.req.query());
    const { limit, source } = query;
    const known = knownOf(parts);
    const parent = parentOf(known, query);
    const type = query.type === undefined ? undefined : uidOf(known, { type: query.type, id: "" }).type;
    const cursor = query.cursor === undefined ? "" : Buffer.from(query.cursor, "base64url").toString("utf8");
    const passes = (key: string, { uid, parents }: CedarEntity): boolean =>
      key > cursor &&
      uid.type !== known.world.head.schema.agentType &&
      (type === undefined || uid.type === type) &&
      (parent === undefined || parents.some((each) => uidKey(each) === parent)) &&
      (source === undefined || viewOf(known, key)?.source === source);
    const keys = firstKeys(known.world.entities.values(), passes, limit + 1);
    const page = keys.slice(0, limit).flatMap((key) => viewOf(known, key) ?? []);
    return jsonAnswer(200, {
      entities: page.map(shown),
      ...(keys.length > limit ? { next: Buffer.from(keys[limit - 1]!).toString("base64url") } : {}),
    });
  };

const uidIn = (c: Context, known: Known): Uid =>
  uidOf(known, { type: c.req.param("type") ?? "", id: c.req.param("id") ?? "" });

const existing = (known: Known, uid: Uid): EntityView => {
  const view = viewOf(known, uidKey(uid));
  if (!view) throw new Problem("not_found", `there is no entity \`${uidText(uid)}\``, { field: "id" });
  return view;
};

const showEntity =
  (parts: EntityParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "admin");
    const known = knownOf(parts);
    return answer(200, existing(known, uidIn(c, known)));
  };

/** RFC 9110 §13.1: the change is for the version that the client has seen, or for none at all. */
const checkVersion = (c: Context, view: EntityView | undefined): void => {
  const match = c.req.header("if-match");
  const noneMatch = c.req.header("if-none-match");
  const has = (tags: string): boolean =>
    view !== undefined && (tags.trim() === "*" || tags.split(",").some((tag) => tag.trim() === tagOf(view)));
  if (match !== undefined && !has(match))
    throw new Problem("precondition_failed", "the entity is not as `If-Match` says", { field: "if-match" });
  if (noneMatch !== undefined && has(noneMatch))
    throw new Problem("precondition_failed", "the entity is as `If-None-Match` excludes", {
      field: "if-none-match",
    });
};

type Made = { uid: Uid; existed: boolean };

/** Changes one entity: what `changesOf` sees is what is changed. */
const changeOne = async (
  c: Context,
  parts: EntityParts,
  verb: EntityCommand["verb"],
  changesOf: (known: Known, uid: Uid) => EntityChange[],
): Promise<Made> => {
  const caller = await parts.guard(c, "admin");
  const made: { one?: Made } = {};
  await parts.entities.change(() => {
    const known = knownOf(parts);
    const uid = uidIn(c, known);
    const view = viewOf(known, uidKey(uid));
    checkVersion(c, view);
    made.one = { uid, existed: view !== undefined };
    const at = parts.clock();
    return { id: uuidv7(at), at, caller: caller.name, verb, changes: changesOf(known, uid) };
  });
  return made.one!;
};

const putEntity =
  (parts: EntityParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "admin");
    const body = bodyOf(shaped(bodyShape, await readBody(c, parts.limits)));
    const { uid, existed } = await changeOne(c, parts, "put", (known, one) =>
      putChanges(known, [{ uid: one, body }]),
    );
    return answer(existed ? 200 : 201, existing(knownOf(parts), uid));
  };

/** Members by name: null takes one away. */
const merged = (before: JsonObject, patch: JsonObject = {}): JsonObject =>
  Object.fromEntries(Object.entries({ ...before, ...patch }).filter(([, value]) => value !== null));

const patchEntity =
  (parts: EntityParts): Endpoint =>
  async (c) => {
    await parts.guard(c, "admin");
    const patch = shaped(patchShape, await readBody(c, parts.limits));
    const { uid } = await changeOne(c, parts, "change", (known, one) => {
      const before = bodyIn(existing(known, one));
      const body = {
        attrs: merged(before.attrs, patch.attrs),
        parents: patch.parents ?? before.parents,
        tags: merged(before.tags, patch.tags),
      };
      return putChanges(known, [{ uid: one, body }]);
    });
    return answer(200, existing(knownOf(parts), uid));
  };

const deleteEntity =
  (parts: EntityParts): Endpoint =>
  async (c) => {
    const { uid } = await changeOne(c, parts, "delete", (known, one) => [deleteChange(known, one)]);
    return jsonAnswer(200, { deleted: uid });
  };

/** Adds `/v1/entities`. Type and id are a segment of the path each, percent-encoded. */
export const addEntityRoutes = (app: Hono, parts: EntityParts, add: Add): void => {
  add(app, "get", "/v1/entities", listEntities(parts));
  add(app, "post", "/v1/entities/import", async (c) => {
    const caller = await parts.guard(c, "admin");
    return importAnswer(c, parts, caller.name);
  });
  add(app, "get", "/v1/entities/:type/:id", showEntity(parts));
  add(app, "put", "/v1/entities/:type/:id", putEntity(parts));
  add(app, "patch", "/v1/entities/:type/:id", patchEntity(parts));
  add(app, "delete", "/v1/entities/:type/:id", deleteEntity(parts));
};

/** What requests bring, for their description. */
export const entityShapes: Record<"list" | "patch", z.ZodType> = { list: listQuery, patch: patchShape };
