/** The questions that MCP's messages mean, one at a time and for the items of a list. */
import { digestOf } from "../../kit/digest.ts";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import type { Denial } from "../decision.ts";
import type { Question } from "../question.ts";
import type { GateOptions } from "./desk.ts";
import type { Mapped, Mapping } from "./mapping.ts";
import { targetOf } from "./methods.ts";

/** So many items of a list are asked about at once. */
const batchMax = 100;

/** What passes by itself: such tools stay in the list, because clients keep lists for long. */
const passing: ReadonlySet<string> = new Set([
  "budget_exhausted",
  "budget_held",
  "amount_too_large",
  "estimate_required",
  "runaway_limit",
  "loop_detected",
]);

/** Everything but `_meta`, which names progress and not what is asked. */
const askedFor = ({ _meta, ...params }: JsonObject): JsonObject => params;

const pickArguments = (params: JsonObject, names: readonly string[]): JsonObject => {
  const given = isObject(params["arguments"]) ? params["arguments"] : {};
  return Object.fromEntries(
    names.filter((name) => Object.hasOwn(given, name)).map((name) => [name, given[name]!]),
  );
};

/** Who asks, and about which server. */
export type Asker = Omit<GateOptions, "client" | "fromServer" | "outcomes" | "longCallMs" | "onEvent">;

/** Makes the question that a method means, or says why there is none. */
export const questionOf = (
  options: Asker,
  method: string,
  params: JsonObject,
  dryRun = false,
): Question | "unknown_method" | "mapping_error" => {
  const { agent, user, server, run, parentRun } = options;
  const whole = { type: "mcp_server", id: server };
  const target = targetOf(method, params, whole, new Set(options.methods));
  if (typeof target === "string") return target;
  const picked = method === "tools/call" ? pickArguments(params, options.arguments ?? []) : {};
  return {
    subject: user === undefined ? { type: agent.type, id: agent.id } : { type: "identity", id: user },
    action: { name: method, ...(Object.keys(picked).length === 0 ? {} : { properties: picked }) },
    // Two servers may have tools of one name.
    resource: target === whole ? whole : { ...target, properties: { server: whole } },
    ...(user === undefined ? {} : { context: { agent: agent.id } }),
    remit: {
      // Looking at a list again is no loop.
      ...(target === whole ? {} : { run, parentRun }),
      argumentsDigest: digestOf(askedFor(params)),
      ...(agent.key === undefined ? {} : { tokens: { agent: agent.key } }),
      ...(dryRun ? { dryRun } : {}),
    },
  };
};

/** Why a message means no question. */
export type Unmapped = "unknown_method" | "mapping_error" | "mapping_unknown";

/** The mapping that applies to a message in place of the binding's default. */
const mappingOf = (
  { mappings }: Asker,
  method: string,
  { name }: JsonObject,
): Mapping | "default" | "unknown" | "malformed" => {
  if (mappings === undefined) return "default";
  if (method === "tools/call" && typeof name === "string") return mappings.tool(name);
  return mappings.method(method) ?? "default";
};

const questionBy = (options: Asker, { action, resource, context }: Mapped, template: Question): Question => {
  const { server, user, agent } = options;
  const { name, properties } = action;
  const { type, id, properties: attributes } = resource;
  const texts = [name, type, id].map((text) => (typeof text === "string" && text !== "" ? text : undefined));
  if (texts.includes(undefined))
    throw new Error("`action.name`, `resource.type` or `resource.id` is no text");
  const said = { ...template.action.properties, ...(isObject(properties) ? properties : {}) };
  return {
    subject: template.subject,
    action: { name: texts[0]!, ...(Object.keys(said).length === 0 ? {} : { properties: said }) },
    resource: {
      type: texts[1]!,
      id: texts[2]!,
      // Which server it is, no mapping says.
      properties: { ...(isObject(attributes) ? attributes : {}), server: { type: "mcp_server", id: server } },
    },
    context: { ...context, ...(user === undefined ? {} : { agent: agent.id }) },
    remit: template.remit,
  };
};

/**
 * The questions that a message means, all of which must be permitted: one by the binding's defaults, or those of a mapping.
 * Says why where there are none.
 */
export const questionsOf = (
  options: Asker,
  method: string,
  params: JsonObject,
  dryRun = false,
): Question[] | Unmapped => {
  const mapping = mappingOf(options, method, params);
  if (mapping === "unknown") return "mapping_unknown";
  if (mapping === "malformed") return "mapping_error";
  if (mapping === "default") {
    const question = questionOf(options, method, params, dryRun);
    return typeof question === "string" ? question : [question];
  }
  const { agent, user, server } = options;
  const token = { sub: user ?? agent.id, client_id: agent.id, aud: server };
  // Whoever asks, in which run and with which digest is said as for a tool of this name.
  const template = questionOf(options, "tools/call", { ...params, name: params["name"] ?? method }, dryRun);
  if (typeof template === "string") return "mapping_error";
  try {
    return mapping({ params, token }).map((mapped) => questionBy(options, mapped, template));
  } catch {
    return "mapping_error";
  }
};

/** How a list shows an item: not at all, by what is asked about it, or because its mapping needs arguments. */
const askedAbout = (
  options: GateOptions,
  item: JsonValue,
  method: string,
): Question[] | "shown" | "hidden" => {
  if (!isObject(item)) return "hidden";
  const questions = questionsOf(options, method, item, true);
  if (Array.isArray(questions)) return questions;
  // What it is asked about depends on its arguments; without them nobody can say, and each call is asked about.
  const mapped = questions === "mapping_error" && typeof mappingOf(options, method, item) === "function";
  return mapped ? "shown" : "hidden";
};

/** The items of a list that may be used, or the denial where nobody can say. Asking consumes nothing. */
export const usableItems = async (
  options: GateOptions,
  items: readonly JsonValue[],
  method: string,
): Promise<JsonValue[] | Denial> => {
  const found = items.map((item) => ({ item, about: askedAbout(options, item, method) }));
  const asked = found.flatMap(({ item, about }) =>
    typeof about === "string" ? [] : about.map((question) => ({ item, question })),
  );
  const refused = new Set<JsonValue>();
  for (let at = 0; at < asked.length; at += batchMax) {
    const some = asked.slice(at, at + batchMax);
    const decisions = await options.client.evaluateMany(some.map(({ question }) => question));
    for (const [index, decision] of decisions.entries()) {
      if (!decision.decision && decision.source === "client") return decision;
      if (!decision.decision && !passing.has(decision.reason)) refused.add(some[index]!.item);
    }
  }
  return found.flatMap(({ item, about }) => (about === "hidden" || refused.has(item) ? [] : [item]));
};
