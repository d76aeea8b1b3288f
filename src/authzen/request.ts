/** Requests of the AuthZEN Authorization API 1.0 (§6, §7): read, checked, and stripped to what the API knows. */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";

export type EvaluationRequest = {
  subject: { type: string; id: string; properties?: JsonObject };
  action: { name: string; properties?: JsonObject };
  resource: { type: string; id: string; properties?: JsonObject };
  context?: JsonObject;
};

/** §7.1.2. */
export type EvaluationsSemantic = "execute_all" | "deny_on_first_deny" | "permit_on_first_permit";

export type EvaluationsRequest =
  /** No `evaluations`, or an empty array: a single evaluation (§7.1). */
  | { kind: "single"; request: EvaluationRequest }
  | {
      kind: "batch";
      semantic: EvaluationsSemantic;
      /** `options.remit.all_or_nothing`, an option of Remit's own (§7.1.2 leaves `options` open). */
      allOrNothing: boolean;
      /** What is wrong inside one item stays that item's (§7.2.2). */
      items: ({ question: EvaluationRequest } | { problem: Problem })[];
    };

export const invalid = (field: string, expected: string): Problem =>
  new Problem("invalid_request", `${field} ${expected}`, { field });

/** A null member is an absent one (§11.4 recommends to leave it out). */
export const member = (object: JsonObject, name: string): JsonValue | undefined => {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return value === null ? undefined : value;
};

export const optionalObject = (value: JsonValue | undefined, field: string): JsonObject | undefined => {
  if (value === undefined || isObject(value)) return value;
  throw invalid(field, "must be an object");
};

export const requiredObject = (value: JsonValue | undefined, field: string): JsonObject => {
  if (value === undefined) throw invalid(field, "is required");
  if (!isObject(value)) throw invalid(field, "must be an object");
  return value;
};

export const requiredText = (object: JsonObject, name: string, field: string): string => {
  const value = member(object, name);
  if (value === undefined) throw invalid(`${field}.${name}`, "is required");
  if (typeof value !== "string" || value === "")
    throw invalid(`${field}.${name}`, "must be a non-empty string");
  return value;
};

export const readEntity = (value: JsonValue | undefined, field: string): EvaluationRequest["subject"] => {
  const object = requiredObject(value, field);
  const type = requiredText(object, "type", field);
  const id = requiredText(object, "id", field);
  const properties = optionalObject(member(object, "properties"), `${field}.properties`);
  return properties === undefined ? { type, id } : { type, id, properties };
};

export const readAction = (value: JsonValue | undefined): EvaluationRequest["action"] => {
  const object = requiredObject(value, "action");
  const name = requiredText(object, "name", "action");
  const properties = optionalObject(member(object, "properties"), "action.properties");
  return properties === undefined ? { name } : { name, properties };
};

/**
 * Reads one evaluation (§6.1). Unknown members are ignored (§10.1).
 * @throws Problem `invalid_request` naming the field
 */
export const readEvaluation = (body: JsonValue): EvaluationRequest => {
  if (!isObject(body)) throw new Problem("invalid_request", "the body must be a JSON object");
  const context = optionalObject(member(body, "context"), "context");
  const request = {
    subject: readEntity(member(body, "subject"), "subject"),
    action: readAction(member(body, "action")),
    resource: readEntity(member(body, "resource"), "resource"),
  };
  return context === undefined ? request : { ...request, context };
};

const semantics = ["execute_all", "deny_on_first_deny", "permit_on_first_permit"] as const;

const readSemantic = (body: JsonObject): EvaluationsSemantic => {
  const options = optionalObject(member(body, "options"), "options");
  const value = options === undefined ? undefined : member(options, "evaluations_semantic");
  if (value === undefined) return "execute_all";
  const semantic = semantics.find((name) => name === value);
  if (semantic === undefined)
    throw invalid("options.evaluations_semantic", `must be one of ${semantics.join(", ")}`);
  return semantic;
};

const readAllOrNothing = (body: JsonObject): boolean => {
  const options = optionalObject(member(body, "options"), "options") ?? {};
  const remit = optionalObject(member(options, "remit"), "options.remit") ?? {};
  const unknown = Object.keys(remit).find((name) => name !== "all_or_nothing");
  if (unknown !== undefined) throw invalid(`options.remit.${unknown}`, "is not an option");
  const value = member(remit, "all_or_nothing") ?? false;
  if (typeof value !== "boolean") throw invalid("options.remit.all_or_nothing", "must be true or false");
  return value;
};

const defaulted = ["subject", "action", "resource", "context"] as const;

/** The top-level members are defaults for every item; one that isn't an object spoils the whole request. */
const readDefaults = (body: JsonObject): JsonObject => {
  const defaults: JsonObject = {};
  for (const name of defaulted) {
    const value = optionalObject(member(body, name), name);
    if (value !== undefined) defaults[name] = value;
  }
  return defaults;
};

/** An item's member replaces the default of that name whole: nothing is merged (§7.1.1). */
const readItem = (
  item: JsonValue,
  defaults: JsonObject,
): { question: EvaluationRequest } | { problem: Problem } => {
  try {
    if (!isObject(item)) throw new Problem("invalid_request", "the evaluation must be an object");
    const whole: JsonObject = { ...defaults };
    for (const name of defaulted) {
      const value = member(item, name);
      if (value !== undefined) whole[name] = value;
    }
    return { question: readEvaluation(whole) };
  } catch (error) {
    if (error instanceof Problem) return { problem: error };
    throw error;
  }
};

/** What the defaults come to once every item that lacks them has its own, in UTF-16 units of JSON. */
const repeatedSize = (items: readonly JsonValue[], defaults: JsonObject): number =>
  Object.entries(defaults).reduce((size, [name, value]) => {
    const takers = items.filter((item) => isObject(item) && member(item, name) === undefined);
    return takers.length === 0 ? size : size + takers.length * JSON.stringify(value).length;
  }, 0);

/** How large a batch may be: in items, and in what its defaults come to when each item is recorded whole. */
export type BatchLimits = { itemsMax: number; repeatedSizeMax: number };

/**
 * Reads a request to the evaluations endpoint (§7.1).
 * @throws Problem `invalid_request` when the request as a whole is wrong, `payload_too_large` when its defaults,
 * repeated for the items, exceed their bound: a body within its own could ask for a thousand times as much
 */
export const readEvaluations = (
  body: JsonValue,
  { itemsMax, repeatedSizeMax }: BatchLimits,
): EvaluationsRequest => {
  if (!isObject(body)) throw new Problem("invalid_request", "the body must be a JSON object");
  const semantic = readSemantic(body);
  const items = member(body, "evaluations");
  if (items !== undefined && !Array.isArray(items)) throw invalid("evaluations", "must be an array");
  if (items === undefined || items.length === 0) return { kind: "single", request: readEvaluation(body) };
  if (items.length > itemsMax) throw invalid("evaluations", `must hold at most ${itemsMax} items`);
  const defaults = readDefaults(body);
  if (repeatedSize(items, defaults) > repeatedSizeMax)
    throw new Problem(
      "payload_too_large",
      `the defaults, repeated for each item, must come to at most ${repeatedSizeMax} characters: send fewer items at a time`,
      { field: "evaluations" },
    );
  return {
    kind: "batch",
    semantic,
    allOrNothing: readAllOrNothing(body),
    items: items.map((item) => readItem(item, defaults)),
  };
};
