/** Searches (AuthZEN 1.0 §8) as async iterators over all pages. A fault ends the iteration with an error, never quietly. */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { type Obligation, readObligations } from "./decision.ts";
import { failure, PdpError, type Result } from "./fault.ts";
import { type Action, contextBody, type Entity, type Inputs, missingMember, wireObject } from "./question.ts";

/** The searched entity: its id is what is asked for. */
export type Searched = { type: string; properties?: JsonObject | undefined };

type Around = { context?: JsonObject | undefined; remit?: Inputs | undefined };
export type SubjectSearch = Around & { subject: Searched; action: Action; resource: Entity };
export type ResourceSearch = Around & { subject: Entity; action: Action; resource: Searched };
export type ActionSearch = Around & { subject: Entity; resource: Entity };

export type FoundEntity = {
  type: string;
  id: string;
  properties?: JsonObject | undefined;
  /** Obligations that come with this result; what can't be fulfilled isn't found. */
  obligations: Obligation[];
};
export type FoundAction = { name: string; properties?: JsonObject | undefined; obligations: Obligation[] };

export type SearchOptions = {
  /** The most results that one answer may hold; the PDP's choice by default. */
  pageSize?: number | undefined;
  /** `page.properties`: sorting and filters, as the PDP defines them. */
  pageProperties?: JsonObject | undefined;
  signal?: AbortSignal | undefined;
};

export type SearchKind = "subject" | "resource" | "action";

const required = {
  subject: [
    ["subject", "type"],
    ["action", "name"],
    ["resource", "type"],
    ["resource", "id"],
  ],
  resource: [
    ["subject", "type"],
    ["subject", "id"],
    ["action", "name"],
    ["resource", "type"],
  ],
  action: [
    ["subject", "type"],
    ["subject", "id"],
    ["resource", "type"],
    ["resource", "id"],
  ],
} as const;

const stop = (result: { fault: ConstructorParameters<typeof PdpError>[0] }): never => {
  throw new PdpError(result.fault);
};

const invalid = (message: string): never => stop(failure("invalid_answer", message));

/** Reads `page.next_token`: none is the end (§8.2.2), and so is a page without one, as in the text's own example. */
const readNext = (body: JsonObject): string => {
  const page = body["page"] ?? undefined;
  if (page === undefined) return "";
  const token = isObject(page) ? (page["next_token"] ?? "") : undefined;
  return typeof token === "string" ? token : invalid("`page.next_token` is no string");
};

type Extras = { properties?: JsonObject | undefined; obligations: Obligation[] };

const readExtras = (value: JsonObject): Extras => {
  const obligations = readObligations(value["obligations"]);
  if (!obligations.ok) return stop(obligations);
  const { properties } = value;
  return { properties: isObject(properties) ? properties : undefined, obligations: obligations.value };
};

const readAction = (value: JsonValue): FoundAction => {
  if (!isObject(value)) return invalid("a result is no object");
  const { name } = value;
  return typeof name === "string" ? { name, ...readExtras(value) } : invalid("a result has no `name`");
};

const readEntity =
  (type: unknown) =>
  (value: JsonValue): FoundEntity => {
    if (!isObject(value)) return invalid("a result is no object");
    const { id } = value;
    if (typeof id !== "string") return invalid("a result has no `id`");
    if (typeof type !== "string" || value["type"] !== type)
      return invalid("a result is of another type than was asked for");
    return { type, id, ...readExtras(value) };
  };

/** Sends one page's request and gives the answer's body. */
export type AskPage = (body: JsonObject) => Promise<Result<JsonObject>>;

/**
 * Walks over all pages. Pages are asked one after another with the same entities and page parameters and the token of
 * the page before; the PDP may repeat results or leave some out between pages (§8.2).
 */
async function* walk<T extends Extras>(
  query: JsonObject,
  read: (value: JsonValue) => T,
  ask: AskPage,
  obligationTypes: readonly string[],
): AsyncGenerator<T, void, void> {
  const page = isObject(query["page"]) ? query["page"] : {};
  const seen = new Set<string>();
  for (let token = ""; ;) {
    const answer = await ask(token === "" ? query : { ...query, page: { ...page, token } });
    if (!answer.ok) return stop(answer);
    const { results } = answer.value;
    if (!Array.isArray(results)) return invalid("`results` is no array");
    // A page is read whole before any of it is given: half of a wrong answer is wrong as well.
    const found = results.map(read);
    const next = readNext(answer.value);
    for (const one of found)
      if (one.obligations.every(({ type }) => obligationTypes.includes(type))) yield one;
    if (next === "") return;
    if (seen.has(next)) return invalid("the PDP gave the same page token twice");
    seen.add(next);
    token = next;
  }
}

const searched = ({ type, properties }: Searched): Searched => ({ type, properties });

/** The wire form of a search; the searched entity never bears an id (§8.4, §8.5). */
const searchBody = (
  kind: SearchKind,
  query: SubjectSearch | ResourceSearch | ActionSearch,
  obligationTypes: readonly string[],
  { pageSize, pageProperties }: SearchOptions,
): Result<JsonObject> => {
  if (pageSize !== undefined && (!Number.isSafeInteger(pageSize) || pageSize < 1))
    return failure("invalid_question", "`pageSize` must be a positive integer");
  const { subject, resource } = query;
  const page =
    pageSize === undefined && pageProperties === undefined
      ? undefined
      : { limit: pageSize, properties: pageProperties };
  return wireObject({
    subject: kind === "subject" ? searched(subject) : subject,
    resource: kind === "resource" ? searched(resource) : resource,
    action: "action" in query && kind !== "action" ? query.action : undefined,
    context: contextBody(query, obligationTypes),
    page,
  });
};

/** What all searches of a client share. */
export type Searching = {
  obligationTypes: readonly string[];
  /** Asks for one page of a search. */
  ask: (kind: SearchKind, body: JsonObject, signal: AbortSignal | undefined) => Promise<Result<JsonObject>>;
};

const checkedBody = (
  kind: SearchKind,
  query: SubjectSearch | ResourceSearch | ActionSearch,
  { obligationTypes }: Searching,
  options: SearchOptions,
): JsonObject => {
  const body = searchBody(kind, query, obligationTypes, options);
  if (!body.ok) return stop(body);
  const missing = missingMember(body.value, required[kind]);
  return missing === undefined
    ? body.value
    : stop(failure("invalid_question", `\`${missing}\` must be a non-empty string`));
};

/** Searches entities. @throws PdpError when the query or an answer can't be used, or a token comes twice */
export async function* searchEntities(
  kind: "subject" | "resource",
  query: SubjectSearch | ResourceSearch,
  searching: Searching,
  options: SearchOptions = {},
): AsyncGenerator<FoundEntity, void, void> {
  const body = checkedBody(kind, query, searching, options);
  const ask: AskPage = (page) => searching.ask(kind, page, options.signal);
  yield* walk(body, readEntity(query[kind].type), ask, searching.obligationTypes);
}

/** Searches actions. @throws PdpError as {@link searchEntities} */
export async function* searchActions(
  query: ActionSearch,
  searching: Searching,
  options: SearchOptions = {},
): AsyncGenerator<FoundAction, void, void> {
  const body = checkedBody("action", query, searching, options);
  const ask: AskPage = (page) => searching.ask("action", page, options.signal);
  yield* walk(body, readAction, ask, searching.obligationTypes);
}
