/** Anthropic's API as the proxy speaks it: messages, and the counting of their tokens. */
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import type { Call, CallRules, Dialect, Endpoint, StreamReader } from "./dialect.ts";
import { dataOf } from "./events.ts";
import {
  checkTools,
  checkWithin,
  flagOf,
  inputTokensMax,
  integerOf,
  type Known,
  knownParameters,
  modelOf,
  objectsOf,
  type Parts,
  turnDigest,
} from "./parameters.ts";
import { invalidRequest, type Refusal, unpricedParameter } from "./refusal.ts";

const tokensMax = 1_000_000_000;

const countedKnown: Known = {
  model: "any",
  messages: "any",
  system: "any",
  thinking: "any",
  tool_choice: "any",
  tools: "any",
  cache_control: "any",
  output_config: "any",
  speed: ["standard"],
};

const messagesKnown: Known = {
  ...countedKnown,
  max_tokens: "any",
  metadata: "any",
  service_tier: ["standard_only"],
  stop_sequences: "any",
  stream: "any",
  temperature: "any",
  top_k: "any",
  top_p: "any",
};

const within: Readonly<Record<string, Known>> = {
  output_config: { effort: "any", format: "any" },
  thinking: { type: ["enabled", "disabled", "adaptive"], budget_tokens: "any", display: "any" },
};

const parts: Parts = {
  text: new Set([
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "search_result",
    "tool_reference",
  ]),
  images: new Set(["image"]),
};

/** A cache entry that is kept for an hour costs more to write than the one price of writing that there is. */
const checkCaching = (value: JsonValue | undefined, { allow }: CallRules): void => {
  if (allow.has("cache_control.ttl") || value === undefined) return;
  const walk = (at: JsonValue): void => {
    if (Array.isArray(at)) for (const one of at) walk(one);
    if (!isObject(at)) return;
    const { cache_control: cache } = at;
    if (isObject(cache) && (cache["ttl"] ?? "5m") !== "5m")
      throw unpricedParameter("cache_control.ttl", "is passed on only as 5m");
    for (const one of Object.values(at)) walk(one);
  };
  walk(value);
};

/** Thinking fits into what may come out, but between calls of tools: there it may come on top. */
const thinkingTokens = (thinking: JsonValue | undefined): number => {
  const budget = isObject(thinking) ? thinking["budget_tokens"] : undefined;
  return typeof budget === "number" ? budget : 0;
};

/** What is told at the start and what is told at the end, as one; later words win. */
const reader = (): StreamReader => {
  let usage: JsonObject | undefined;
  let complete = false;
  const merge = (more: JsonValue | undefined): void => {
    if (!isObject(more)) return;
    const said = Object.entries(more).filter(([, value]) => value !== null);
    usage = { ...usage, ...Object.fromEntries(said) };
  };
  return {
    take: (event) => {
      const data = dataOf(event);
      const type = /"type"\s*:\s*"(message_start|message_delta|message_stop)"/.exec(data)?.[1];
      if (type === undefined) return { forward: true, last: false };
      const chunk: unknown = JSON.parse(data);
      if (isObject(chunk) && isObject(chunk["message"])) merge(chunk["message"]["usage"]);
      if (isObject(chunk) && chunk["type"] === "message_delta") {
        merge(chunk["usage"]);
        complete = true;
      }
      return { forward: true, last: isObject(chunk) && chunk["type"] === "message_stop" };
    },
    usage: () => (complete && usage ? { ...usage, convention: "anthropic" } : undefined),
  };
};

const readMessages =
  (known: Known, generates: boolean) =>
  (given: JsonObject, rules: CallRules): Call => {
    const body = knownParameters(given, known, rules);
    const messages = objectsOf(body["messages"], "messages");
    for (const message of messages)
      knownParameters(message, { role: "any", content: "any" }, rules, "messages.");
    checkWithin(body, within, rules);
    checkTools(objectsOf(body["tools"], "tools"), [undefined, "custom"], rules);
    checkCaching(body, rules);
    const limit = integerOf(body, "max_tokens", 0, tokensMax) ?? rules.outputTokensDefault;
    const thinking = thinkingTokens(body["thinking"]);
    if (!Number.isSafeInteger(thinking) || thinking < 0 || thinking > tokensMax)
      throw invalidRequest("thinking.budget_tokens", `must be an integer of 0 to ${tokensMax}`);
    const sent: JsonObject = {
      ...body,
      ...(generates ? { max_tokens: limit } : {}),
      ...(generates && rules.original ? { service_tier: "standard_only" } : {}),
    };
    const contents = [body["system"], ...messages.map(({ content }) => content)];
    return {
      model: modelOf(body),
      inputTokensMax: inputTokensMax(sent, contents, parts, rules),
      outputTokensMax: generates ? limit + (thinking < limit ? 0 : thinking) : 0,
      body: sent,
      stream: flagOf(body, "stream"),
      digest: turnDigest(body, messages, ({ role }) => role === "assistant"),
      capped: (most) =>
        most <= thinking || thinking >= limit ? undefined : { ...sent, max_tokens: Math.min(limit, most) },
      reader,
    };
  };

const errorTypes: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  405: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
};

const errorBody = ({ status, code, message }: Refusal): JsonObject => ({
  type: "error",
  error: { type: errorTypes[status] ?? "api_error", message, code },
});

const errorEvent = (refusal: Refusal): string =>
  `event: error\ndata: ${JSON.stringify(errorBody(refusal))}\n\n`;

const usageOf = ({ usage }: JsonObject): JsonObject | undefined =>
  isObject(usage) ? { ...usage, convention: "anthropic" } : undefined;

const endpoints: readonly Endpoint[] = [
  { path: "/messages", metered: true, read: readMessages(messagesKnown, true), usage: usageOf, errorEvent },
  {
    path: "/messages/count_tokens",
    metered: false,
    read: readMessages(countedKnown, false),
    usage: () => undefined,
    errorEvent,
  },
];

/** Features that change what is said, and not what it costs. */
const knownBetas: ReadonlySet<string> = new Set([
  "claude-code-20250219",
  "fine-grained-tool-streaming-2025-05-14",
  "interleaved-thinking-2025-05-14",
  "output-128k-2025-02-19",
  "prompt-caching-2024-07-31",
  "token-counting-2024-11-01",
  "token-efficient-tools-2025-02-19",
]);

const betasOf = (header: string | string[] | undefined, allow: ReadonlySet<string>): string | undefined => {
  if (header === undefined) return undefined;
  const betas = String(header)
    .split(",")
    .map((beta) => beta.trim())
    .filter((beta) => beta !== "");
  const other = betas.find((beta) => !knownBetas.has(beta) && !allow.has(`beta.${beta}`));
  if (other !== undefined)
    throw unpricedParameter(`beta.${other}`, "in `anthropic-beta` may change what a call costs");
  return betas.length === 0 ? undefined : betas.join(",");
};

export const anthropic: Dialect = {
  endpoints,
  // Clients that are given a token and not a key send it as a bearer.
  agentKey: ({ "x-api-key": key, authorization }) =>
    typeof key === "string" && key !== "" ? key : /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1],
  upstreamHeaders: (key, headers, allow) => {
    const version = headers["anthropic-version"];
    const betas = betasOf(headers["anthropic-beta"], allow);
    return {
      ...(key === undefined ? {} : { "x-api-key": key }),
      "anthropic-version":
        typeof version === "string" && /^\d{4}-\d\d-\d\d$/.test(version) ? version : "2023-06-01",
      ...(betas === undefined ? {} : { "anthropic-beta": betas }),
    };
  },
  errorBody,
  answerHeaders: /^(?:request-id|anthropic-ratelimit-[a-z-]+)$/,
  query: (name, value) => name === "beta" && value === "true",
};
