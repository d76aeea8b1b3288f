/** Entities, described. */
import { bodyShape } from "../../entity/read-entities.ts";
import { entityShapes } from "../entity-routes.ts";
import {
  anyObject,
  count,
  flag,
  instant,
  listOf,
  object,
  oneOf,
  type Operations,
  refer,
  text,
  uid,
} from "./operation.ts";

const entity = object({
  uid,
  attrs: anyObject,
  parents: listOf({
    ...uid,
    required: [],
    properties: { type: text, id: text, __entity: uid },
  }),
  "tags?": anyObject,
  source: oneOf("file", "store"),
  "updated_at?": instant,
  "updated_by?": text,
  "fits?": { ...flag, description: "`false` where the schema or the files no longer allow it." },
});
const oneEntity = object({ entity });

const website = { type: "Website", id: "https://shop.acme.example" };

export const entityOperations: Operations = {
  "PUT /v1/entities/{type}/{id}": {
    summary: "Put an entity in, or in another's place",
    description: "What a file says of an entity is changed there.",
    scope: "admin",
    body: bodyShape,
    headers: ["If-Match", "If-None-Match"],
    answers: {
      201: { description: "It is new.", schema: oneEntity, headers: ["ETag"] },
      200: { description: "It was there.", schema: oneEntity, headers: ["ETag"] },
    },
    errors: [409, 412],
    example: {
      path: website,
      body: { attrs: { client: { type: "Client", id: "acme" }, personal_data: true } },
    },
  },
  "GET /v1/entities": {
    summary: "List entities",
    scope: "admin",
    query: entityShapes.list,
    answers: {
      200: {
        description: "A page of entities; `next` is the cursor of the one after it.",
        schema: object({ entities: listOf(entity), "next?": text }),
      },
    },
    example: { query: { type: "Website", limit: "2" } },
  },
  "GET /v1/entities/{type}/{id}": {
    summary: "Show an entity",
    scope: "admin",
    answers: { 200: { description: "The entity.", schema: oneEntity, headers: ["ETag"] } },
    errors: [404],
    example: { path: website },
  },
  "PATCH /v1/entities/{type}/{id}": {
    summary: "Change members of an entity",
    description: "Attributes and tags by name: null takes one away. `parents` are replaced as a whole.",
    scope: "admin",
    body: entityShapes.patch,
    headers: ["If-Match", "If-None-Match"],
    answers: { 200: { description: "The entity as it is now.", schema: oneEntity, headers: ["ETag"] } },
    errors: [404, 409, 412],
    example: { path: website, body: { attrs: { personal_data: false } } },
  },
  "DELETE /v1/entities/{type}/{id}": {
    summary: "Take an entity out",
    scope: "admin",
    headers: ["If-Match", "If-None-Match"],
    answers: { 200: { description: "It is gone.", schema: object({ deleted: uid }) } },
    errors: [404, 409, 412],
    example: { path: website },
  },
  "POST /v1/entities/import": {
    summary: "Put many entities in",
    description:
      "One entity a line. The answer streams a line for each batch, and one for the end: `done`, or the error that ended it; batches before the error are in force.",
    scope: "admin",
    body: { type: "string", description: "Entities as JSON, one a line." },
    bodyType: "application/x-ndjson",
    answers: {
      200: {
        description: "Lines of progress.",
        contentType: "application/x-ndjson",
        schema: object({ read: count, changed: count, "done?": flag, "error?": refer("Error") }),
      },
    },
    example: {
      body: '{"uid":{"type":"Client","id":"initech"}}\n{"uid":{"type":"Client","id":"umbrella"}}\n',
    },
  },
};
