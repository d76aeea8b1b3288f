/** The Search APIs of AuthZEN 1.0 (§8): requests as they are read, answers as they are written. */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import {
  type EvaluationRequest,
  invalid,
  member,
  optionalObject,
  readAction,
  readEntity,
  requiredObject,
  requiredText,
} from "./request.ts";

export const searchKinds = ["subject", "resource", "action"] as const;
export type SearchKind = (typeof searchKinds)[number];

/** What is searched is named by its type alone. */
type Asked = { type: string; id?: string; properties?: JsonObject };

export type SearchRequest = {
  kind: SearchKind;
  subject: Asked;
  action?: EvaluationRequest["action"];
  resource: Asked;
  context?: JsonObject;
  page?: PageRequest;
};

/** §8.2.1. */
export type PageRequest = { token?: string; limit?: number; properties?: JsonObject };

/** The searched one: an id must be ignored (§8.3, §8.4), and so is what the request says of it: the stored one counts. */
const readSearched = (value: JsonValue | undefined, field: string): Asked => {
  const object = requiredObject(value, field);
  const properties = optionalObject(member(object, "properties"), `${field}.properties`);
  return { type: requiredText(object, "type", field), ...(properties ? { properties } : {}) };
};

const readPage = (value: JsonValue | undefined): PageRequest | undefined => {
  const page = optionalObject(value, "page");
  if (!page) return undefined;
  const token = member(page, "token");
  if (token !== undefined && typeof token !== "string") throw invalid("page.token", "must be a string");
  const limit = member(page, "limit");
  if (limit !== undefined && (typeof limit !== "number" || !Number.isSafeInteger(limit) || limit < 0))
    throw invalid("page.limit", "must be a non-negative integer");
  const properties = optionalObject(member(page, "properties"), "page.properties");
  return {
    // An empty token is that of no page: it says that there was none before.
    ...(token === undefined || token === "" ? {} : { token }),
    ...(limit === undefined ? {} : { limit }),
    ...(properties ? { properties } : {}),
  };
};

/**
 * Reads a search. Unknown members are ignored (§10.1), in `page` too (§8.2.1).
 * @throws Problem `invalid_request` naming the field
 */
export const readSearch = (kind: SearchKind, body: JsonValue): SearchRequest => {
  if (!isObject(body)) throw new Problem("invalid_request", "the body must be a JSON object");
  const entity = (name: "subject" | "resource"): Asked =>
    kind === name ? readSearched(member(body, name), name) : readEntity(member(body, name), name);
  const context = optionalObject(member(body, "context"), "context");
  const page = readPage(member(body, "page"));
  return {
    kind,
    subject: entity("subject"),
    ...(kind === "action" ? {} : { action: readAction(member(body, "action")) }),
    resource: entity("resource"),
    ...(context ? { context } : {}),
    ...(page ? { page } : {}),
  };
};

export type SearchAnswer = {
  /** Results by name: ids of `type`, or of actions. */
  found: readonly {
    name: string;
    obligations: readonly { id: string; type: string; properties?: JsonObject }[];
  }[];
  type: string;
  /** Absent where the answer is the whole set and nobody asked for pages; an empty token is the end (§8.2.2). */
  page?: { nextToken: string; total?: number };
};

/** The body of an answer: results are bare, but for obligations where a permit comes with some (Obligations profile). */
export const searchBody = (kind: SearchKind, { found, type, page }: SearchAnswer): JsonObject => ({
  ...(page
    ? {
        page: {
          next_token: page.nextToken,
          count: found.length,
          ...(page.total === undefined ? {} : { total: page.total }),
        },
      }
    : {}),
  results: found.map(({ name, obligations }): JsonObject => ({
    ...(kind === "action" ? { name } : { type, id: name }),
    ...(obligations.length === 0 ? {} : { obligations: obligations.map((one): JsonObject => ({ ...one })) }),
  })),
});
