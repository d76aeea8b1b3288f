/** The OpenAPI 3.1 document of everything that is served. It says nothing of this instance: it is the same wherever it is asked for. */
import { z } from "zod";
import { scopes } from "../../identity/caller.ts";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { problemStatus } from "../../kit/problem.ts";
import { version } from "../../kit/version.ts";
import { agentOperations, authorityOperations } from "./agents.ts";
import { authzenOperations, authzenSchemas } from "./authzen.ts";
import { budgetOperations, reportOperations } from "./budgets.ts";
import { entityOperations } from "./entities.ts";
import { ledgerOperations, ledgerSchemas } from "./ledger.ts";
import {
  type AnswerHeader,
  object,
  type Operation,
  type Operations,
  refer,
  type RequestHeader,
  shapeOf,
  text,
  type Told,
} from "./operation.ts";
import { callerOperations, onCallOperations } from "./operations.ts";
import { policyOperations } from "./policies.ts";

/** A group of operations, in the order in which they are read and in which their examples run. */
export type Room = { name: string; description: string; operations: Operations };

export const rooms: readonly Room[] = [
  {
    name: "AuthZEN",
    description: "The AuthZEN Authorization API 1.0: questions, searches, metadata.",
    operations: authzenOperations,
  },
  {
    name: "Holds, usage and outcomes",
    description: "What enforcement points say of what was really consumed and done.",
    operations: reportOperations,
  },
  { name: "Budgets", description: "What is declared, used, held and granted.", operations: budgetOperations },
  { name: "Agents", description: "The registry of agents, and their keys.", operations: agentOperations },
  {
    name: "Delegations and kills",
    description: "Who lets which agent act for it, and what stops them.",
    operations: authorityOperations,
  },
  {
    name: "Entities",
    description: "What Cedar knows of subjects and resources.",
    operations: entityOperations,
  },
  { name: "Callers", description: "Who may ask.", operations: callerOperations },
  {
    name: "Ledger",
    description: "Entries, proofs, the log as C2SP tlog-tiles serves it, retention and erasure.",
    operations: ledgerOperations,
  },
  {
    name: "Policies",
    description: "What is in force, what else would decide, and why.",
    operations: policyOperations,
  },
  { name: "Operations", description: "For whoever is on call.", operations: onCallOperations },
];

const errorTexts: Readonly<Record<number, string>> = {
  400: "The request is malformed: a member, a parameter or a header.",
  401: "A key or token is needed, or this one isn't accepted.",
  403: "The caller may not do this.",
  404: "There is nothing of this name.",
  408: "The request didn't arrive whole in time.",
  409: "It can't be done as things stand.",
  410: "Only the hash of it is kept.",
  412: "The entity isn't in the version that `If-Match` or `If-None-Match` says.",
  413: "The body is too large.",
  422: "The idempotency key was used for another request.",
  429: "The caller asks more often than it may; `Retry-After` says when it may again.",
  500: "A fault of Remit's; the log has the details under the request's id.",
  503: "It can't be answered now: not recorded, too much waiting, or not ready.",
};

const headerTexts: Readonly<Record<AnswerHeader | "X-Request-ID", string>> = {
  "X-Request-ID": "The request's id: the given one, or one that was made.",
  "Remit-Decision": "The decision's id, by which the ledger has its entry; of a batch, item N is `<id>.<N>`.",
  "Remit-Hold": "The hold that a permit made, where the question says nothing under `context.remit`.",
  ETag: "The version of what is answered.",
};

const visible: JsonObject = { type: "string", pattern: String.raw`^[\x20-\x7e]{1,256}$` };

const requestHeaders: Readonly<
  Record<RequestHeader | "X-Request-ID", { description: string; schema: JsonObject }>
> = {
  "X-Request-ID": { description: "Echoed, and kept with what is recorded.", schema: visible },
  "Idempotency-Key": {
    description: "The same request again under the same key is answered as the first was, for 24 hours.",
    schema: visible,
  },
  "If-Match": { description: "Versions; the entity must be in one of them.", schema: text },
  "If-None-Match": { description: "Versions that aren't wanted.", schema: text },
  "Last-Event-ID": {
    description: "The index of the last entry seen; a tail goes on after it.",
    schema: text,
  },
};

/** The statuses of errors that an operation can give. */
export const errorsOf = ({ scope, body, errors = [], answers }: Operation): number[] =>
  [
    ...new Set([
      400,
      ...(scope === "none" ? [] : [401, 403, 429, 503]),
      ...(body === undefined ? [] : [408, 413]),
      500,
      ...errors,
    ]),
  ]
    .filter((status) => answers[status] === undefined)
    .sort((a, b) => a - b);

/** An operation's name in parts. */
export const partsOf = (name: string): { method: string; path: string } => {
  const space = name.indexOf(" ");
  return { method: name.slice(0, space), path: name.slice(space + 1) };
};

/** The names of the parameters in a path. */
export const parametersIn = (path: string): string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);

/** A body's shape as JSON Schema. */
export const bodySchema = (body: NonNullable<Operation["body"]>): JsonObject =>
  body instanceof z.ZodType ? shapeOf(body) : body;

const headerRefs = (names: readonly string[]): JsonObject =>
  Object.fromEntries(
    ["X-Request-ID", ...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );

const answerBody = ({ description, schema, contentType, others = [], headers = [] }: Told): JsonObject => ({
  description,
  headers: headerRefs(headers),
  ...(schema
    ? {
        content: {
          [contentType ?? "application/json"]: { schema },
          ...Object.fromEntries(others.map((type) => [type, { schema: text }])),
        },
      }
    : {}),
});

const queryParameters = (query: z.ZodType | undefined, example: Operation["example"]): JsonObject[] => {
  if (!query) return [];
  const { properties, required } = shapeOf(query);
  const needed = new Set(Array.isArray(required) ? required : []);
  return Object.entries(properties ?? {}).map(([name, schema]): JsonObject => {
    const given = example.query?.[name];
    return {
      name,
      in: "query",
      required: needed.has(name),
      schema,
      ...(given === undefined ? {} : { example: given }),
    };
  });
};

const parametersOf = (path: string, { query, headers = [], example }: Operation): JsonObject[] => [
  ...parametersIn(path).map((name): JsonObject => ({
    name,
    in: "path",
    required: true,
    schema: text,
    example: example.path?.[name] ?? "",
  })),
  ...queryParameters(query, example),
  ...["X-Request-ID", ...headers].map((name): JsonObject => ({ $ref: `#/components/parameters/${name}` })),
];

const securityOf = ({ scope, orScope, open = false }: Operation): JsonValue[] =>
  scope === "none"
    ? []
    : [
        ...[scope, ...(orScope ? [orScope] : [])].flatMap((one) => [
          { apiKey: [one] },
          { accessToken: [one] },
        ]),
        ...(open ? [{}] : []),
      ];

const said = ({ description, scope, orScope, open = false }: Operation): string => {
  const or = orScope ? ` or \`${orScope}\`` : "";
  const who = scope === "none" ? "Whoever may reach the service may ask." : `Scope: \`${scope}\`${or}.`;
  const local = open ? " On a loopback address, without callers, no key is needed." : "";
  return `${description === undefined ? "" : `${description}\n\n`}${who}${local}`;
};

const operationBody = (name: string, room: Room, operation: Operation): JsonObject => {
  const { method, path } = partsOf(name);
  const { summary, body, bodyOptional = false, bodyType, example, answers } = operation;
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, "_").replace(/_$/, "")}`,
    tags: [room.name],
    summary,
    description: said(operation),
    security: securityOf(operation),
    parameters: parametersOf(path, operation),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !bodyOptional,
            content: {
              [bodyType ?? "application/json"]: {
                schema: bodySchema(body),
                ...(example.body === undefined ? {} : { example: example.body }),
              },
            },
          },
        }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, told]) => [status, answerBody(told)])),
      ...Object.fromEntries(
        errorsOf(operation).map((status) => [status, { $ref: `#/components/responses/Error${status}` }]),
      ),
    },
  };
};

const errorSchema: JsonObject = object({
  status: { type: "integer" },
  code: { type: "string", enum: Object.keys(problemStatus) },
  message: { ...text, description: "For people; it may change." },
  "field?": { ...text, description: "What is at fault, where one thing is." },
});

/** Schemas that operations share, by name. */
export const sharedSchemas: JsonObject = { Error: errorSchema, ...authzenSchemas, ...ledgerSchemas };

const components = (): JsonObject => ({
  schemas: sharedSchemas,
  responses: Object.fromEntries(
    Object.entries(errorTexts).map(([status, description]) => [
      `Error${status}`,
      answerBody({ description, schema: refer("Error") }),
    ]),
  ),
  headers: Object.fromEntries(
    Object.entries(headerTexts).map(([name, description]) => [name, { description, schema: text }]),
  ),
  parameters: Object.fromEntries(
    Object.entries(requestHeaders).map(([name, header]) => [
      name,
      { name, in: "header", required: false, ...header },
    ]),
  ),
  securitySchemes: {
    apiKey: {
      type: "http",
      scheme: "bearer",
      description: `A caller's key, or the administrator's. Scopes: ${scopes.join(", ")}; \`admin\` holds the others.`,
    },
    accessToken: {
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
      description: "An OAuth access token of a configured issuer (RFC 9068).",
    },
  },
});

/** The document, built anew. */
export const openApiDocument = (): JsonObject => {
  const paths: Record<string, JsonObject> = {};
  for (const room of rooms)
    for (const [name, operation] of Object.entries(room.operations)) {
      const { method, path } = partsOf(name);
      paths[path] = { ...paths[path], [method.toLowerCase()]: operationBody(name, room, operation) };
    }
  return {
    openapi: "3.1.1",
    info: {
      title: "Remit",
      version: version(),
      summary: "Decides what an AI agent may do and what it may spend, and keeps the proof.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: rooms.map(({ name, description }) => ({ name, description })),
    paths,
    components: components(),
  };
};
