/** The questions that MCP's messages mean, one at a time and for the items of a list. */
import { digestOf } from "../../kit/digest.ts";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import type { Denial } from "../decision.ts";
import type { Question } from "../question.ts";
import type { GateOptions } from "./desk.ts";
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

/** The items of a list that may be used, or the denial where nobody can say. Asking consumes nothing. */
export const usableItems = async (
  options: GateOptions,
  items: readonly JsonValue[],
  method: string,
): Promise<JsonValue[] | Denial> => {
  const asked = items.flatMap((item) => {
    const mapped = isObject(item) ? questionOf(options, method, item, true) : "mapping_error";
    return typeof mapped === "string" ? [] : [{ item, mapped }];
  });
  const kept: JsonValue[] = [];
  for (let at = 0; at < asked.length; at += batchMax) {
    const some = asked.slice(at, at + batchMax);
    const decisions = await options.client.evaluateMany(some.map(({ mapped }) => mapped));
    for (const [index, decision] of decisions.entries()) {
      if (!decision.decision && decision.source === "client") return decision;
      if (decision.decision || passing.has(decision.reason)) kept.push(some[index]!.item);
    }
  }
  return kept;
};
