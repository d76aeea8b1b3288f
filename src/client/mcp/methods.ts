/**
 * What each MCP method means as a question (COAZ-MCP draft 1, default mappings), and which messages pass without one.
 * What no table names is refused.
 */
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import type { Entity } from "../question.ts";

/** The item or server that a method acts on; nothing where its parameters don't say. */
type Target = (params: JsonObject, server: Entity) => Entity | undefined;

const named =
  (type: string, member: string): Target =>
  (params) => {
    const id = params[member];
    return typeof id === "string" && id !== "" ? { type, id } : undefined;
  };

const wholeServer: Target = (_params, server) => server;

const completed: Target = ({ ref }, server) => {
  if (typeof ref !== "object" || ref === null || Array.isArray(ref)) return undefined;
  const target =
    ref["type"] === "ref/prompt"
      ? named("prompt", "name")
      : ref["type"] === "ref/resource"
        ? named("resource", "uri")
        : undefined;
  return target?.(ref, server);
};

const targets: Record<string, Target> = {
  initialize: wholeServer,
  "tools/list": wholeServer,
  "tools/call": named("tool", "name"),
  "resources/list": wholeServer,
  "resources/read": named("resource", "uri"),
  "resources/subscribe": named("resource", "uri"),
  "resources/unsubscribe": named("resource", "uri"),
  "prompts/list": wholeServer,
  "prompts/get": named("prompt", "name"),
  "completion/complete": completed,
  "logging/setLevel": wholeServer,
  "tasks/get": named("task", "taskId"),
  "tasks/result": named("task", "taskId"),
  "tasks/cancel": named("task", "taskId"),
  "tasks/list": wholeServer,
};

/** The target of a method; `unknown_method` where neither the binding nor the operator knows it. */
export const targetOf = (
  method: string,
  params: JsonObject,
  server: Entity,
  more: ReadonlySet<string>,
): Entity | "unknown_method" | "mapping_error" => {
  const target = Object.hasOwn(targets, method)
    ? targets[method]
    : more.has(method)
      ? wholeServer
      : undefined;
  return target === undefined ? "unknown_method" : (target(params, server) ?? "mapping_error");
};

/** Lists that show only what may be used: the member that holds the items, and the use that is asked about. */
export const listings: Record<string, { member: string; method: string }> = {
  "tools/list": { member: "tools", method: "tools/call" },
  "resources/list": { member: "resources", method: "resources/read" },
  "prompts/list": { member: "prompts", method: "prompts/get" },
};

/** Requests that a server may send without the operator's word. */
export const serverRequests: ReadonlySet<string> = new Set(["ping"]);

/** Requests that a server may send where the operator says so, and the capability by which a client offers them. */
export const offeredRequests: Record<string, string> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

export const serverNotifications: ReadonlySet<string> = new Set([
  "notifications/cancelled",
  "notifications/progress",
  "notifications/message",
  "notifications/resources/updated",
  "notifications/resources/list_changed",
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/elicitation/complete",
  "notifications/tasks/status",
]);

/** The capabilities of a client, less those whose requests would be refused: a server that doesn't see them doesn't try. */
export const offered = (capabilities: JsonValue | undefined, allowed: ReadonlySet<string>): JsonObject => {
  if (typeof capabilities !== "object" || capabilities === null || Array.isArray(capabilities)) return {};
  const hidden = new Set(["tasks"]);
  for (const [method, capability] of Object.entries(offeredRequests))
    if (!allowed.has(method)) hidden.add(capability);
  return Object.fromEntries(Object.entries(capabilities).filter(([name]) => !hidden.has(name)));
};
