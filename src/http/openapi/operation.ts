/** What is said of an operation of the API, and the shapes from which it is said; one record of them for each room. */
import { z } from "zod";
import type { Scope } from "../../identity/caller.ts";
import type { JsonObject, JsonValue } from "../../kit/json.ts";

/** One answer. Without a schema it has no body; its content type is JSON unless it says otherwise. */
export type Told = {
  description: string;
  schema?: JsonObject;
  contentType?: string;
  /** Other content types that can be asked for, as text. */
  others?: readonly string[];
  headers?: readonly AnswerHeader[];
};

export type AnswerHeader = "Remit-Decision" | "Remit-Hold" | "ETag";
export type RequestHeader = "Idempotency-Key" | "If-Match" | "If-None-Match" | "Last-Event-ID";

/** What is asked as an example. Ids that a service makes are of the form only: the test puts in those it was given. */
export type Example = {
  path?: Readonly<Record<string, string>>;
  query?: Readonly<Record<string, string>>;
  /** A string is sent as it is. */
  body?: JsonValue;
};

/** An operation, named elsewhere as `METHOD /path/{parameter}`. */
export type Operation = {
  summary: string;
  description?: string;
  /** What a caller must be allowed; `none`: whoever may reach the service. */
  scope: Scope | "none";
  /** A scope that does as well. */
  orScope?: Scope;
  /** Whether it is answered without a key on a loopback address, as long as there are no callers. */
  open?: boolean;
  /** The shape that the route checks. */
  query?: z.ZodType;
  /** The shape that the route checks, or its JSON Schema where it is read by hand. */
  body?: z.ZodType | JsonObject;
  bodyOptional?: boolean;
  /** `application/json` unless it says otherwise. */
  bodyType?: string;
  headers?: readonly RequestHeader[];
  /** By status, the one of the example first; errors that every such operation can give are added. */
  answers: Readonly<Record<number, Told>>;
  /** Further statuses of errors. */
  errors?: readonly number[];
  example: Example;
};

/** By `METHOD /path/{parameter}`, in an order in which the examples can be run. */
export type Operations = Readonly<Record<string, Operation>>;

/** What a zod shape takes, as JSON Schema; checks that only code can make are not in it. */
export const shapeOf = (shape: z.ZodType): JsonObject => {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(shape, { io: "input", unrepresentable: "any" });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a JSON Schema is JSON
  return JSON.parse(JSON.stringify(schema)) as JsonObject;
};

export const text: JsonObject = { type: "string" };
export const whole: JsonObject = { type: "integer" };
export const count: JsonObject = { type: "integer", minimum: 0 };
export const flag: JsonObject = { type: "boolean" };
export const instant: JsonObject = { type: "string", format: "date-time" };
export const anyObject: JsonObject = { type: "object", additionalProperties: true };
export const anything: JsonObject = {};

export const listOf = (items: JsonObject): JsonObject => ({ type: "array", items });
export const oneOf = (...values: readonly string[]): JsonObject => ({ type: "string", enum: [...values] });
export const mapOf = (values: JsonObject): JsonObject => ({ type: "object", additionalProperties: values });

/** An object of these members; the names of those that may be absent end in `?`. */
export const object = (members: Readonly<Record<string, JsonObject>>): JsonObject => {
  const required = Object.keys(members).filter((name) => !name.endsWith("?"));
  return {
    type: "object",
    properties: Object.fromEntries(
      Object.entries(members).map(([name, schema]) => [name.replace(/\?$/, ""), schema]),
    ),
    ...(required.length === 0 ? {} : { required }),
  };
};

/** Amounts by unit. */
export const amounts: JsonObject = mapOf(whole);
/** A subject or resource by type and id. */
export const uid: JsonObject = object({ type: text, id: text });

/** The reference to a schema that several operations use. */
export const refer = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });
