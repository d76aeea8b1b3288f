/** JSON-RPC 2.0 messages as MCP uses them: what one is, and the errors that a gate answers (COAZ-MCP, error handling). */
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";

export type Id = string | number;

export type Request = { kind: "request"; id: Id; method: string; params: JsonObject };
export type Notification = { kind: "notification"; method: string; params: JsonObject };
export type Response = { kind: "response"; id: Id; result?: JsonValue; error?: JsonValue };

/** Anything else is `invalid`: `id` where it can be answered. */
export type Message = Request | Notification | Response | { kind: "invalid"; id: Id | null; why: string };

/** Codes of the binding, and JSON-RPC's own. */
export const codes = {
  parseError: -32_700,
  invalidRequest: -32_600,
  mapping: -32_602,
  unavailable: -32_603,
  denied: -32_001,
} as const;

const idOf = (value: JsonValue | undefined): Id | null =>
  typeof value === "string" || (typeof value === "number" && Number.isSafeInteger(value)) ? value : null;

const invalid = (id: Id | null, why: string): Message => ({ kind: "invalid", id, why });

/** Says what a JSON value is as a message. Batches, which MCP no longer knows, are invalid. */
export const readMessage = (value: JsonValue): Message => {
  if (Array.isArray(value)) return invalid(null, "batches are not passed on: send each message by itself");
  if (!isObject(value)) return invalid(null, "the message is no object");
  const { jsonrpc, method, params = {} } = value;
  const id = idOf(value["id"]);
  if (jsonrpc !== "2.0") return invalid(id, "`jsonrpc` must be `2.0`");
  if (value["id"] !== undefined && id === null)
    return invalid(null, "`id` must be a string or a whole number");
  if (method === undefined) {
    if (id === null) return invalid(null, "the message has neither `method` nor `id`");
    const { result, error } = value;
    if ((result === undefined) === (error === undefined))
      return invalid(id, "a response has either `result` or `error`");
    return error === undefined ? { kind: "response", id, result: result! } : { kind: "response", id, error };
  }
  if (typeof method !== "string") return invalid(id, "`method` must be a string");
  if (!isObject(params)) return invalid(id, "`params` must be an object");
  return id === null ? { kind: "notification", method, params } : { kind: "request", id, method, params };
};

/** The message's own members and no others, so that what was judged is what arrives. */
export const wireOf = (message: Request | Notification | Response): JsonObject => {
  if (message.kind === "response") {
    const { id, result, error } = message;
    return result === undefined
      ? { jsonrpc: "2.0", id, error: error ?? null }
      : { jsonrpc: "2.0", id, result };
  }
  const { method, params } = message;
  const id = message.kind === "request" ? { id: message.id } : {};
  return { jsonrpc: "2.0", ...id, method, ...(Object.keys(params).length === 0 ? {} : { params }) };
};

/** An error response. `data` holds what an operator or a program may want to switch on. */
export const errorTo = (id: Id | null, code: number, message: string, data?: JsonObject): JsonObject => ({
  jsonrpc: "2.0",
  id,
  error: { code, message, ...(data === undefined ? {} : { data }) },
});
