/** OpenAI's API as the proxy speaks it: chat completions, responses and embeddings. */
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

/** Of tiers, only the one that prices are for. */
const common: Known = {
  model: "any",
  metadata: "any",
  user: "any",
  safety_identifier: "any",
  prompt_cache_key: "any",
  prompt_cache_options: "any",
  prompt_cache_retention: ["in_memory"],
  parallel_tool_calls: "any",
  service_tier: ["default"],
  store: [false],
  stream: "any",
  stream_options: "any",
  temperature: "any",
  tool_choice: "any",
  tools: "any",
  top_logprobs: "any",
  top_p: "any",
};

const chatKnown: Known = {
  ...common,
  messages: "any",
  frequency_penalty: "any",
  function_call: "any",
  functions: "any",
  logit_bias: "any",
  logprobs: "any",
  max_completion_tokens: "any",
  max_tokens: "any",
  n: "any",
  presence_penalty: "any",
  reasoning_effort: "any",
  response_format: "any",
  seed: "any",
  stop: "any",
  verbosity: "any",
};

const responsesKnown: Known = {
  ...common,
  background: [false],
  include: "any",
  input: "any",
  instructions: "any",
  max_output_tokens: "any",
  reasoning: "any",
  text: "any",
  truncation: "any",
};

/** Inside of parameters: only the mode, and the time in a cache, that prices are for. */
const within: Readonly<Record<string, Known>> = {
  prompt_cache_options: { mode: "any", ttl: ["30m"] },
  reasoning: {
    context: "any",
    effort: "any",
    generate_summary: "any",
    mode: ["standard"],
    summary: "any",
  },
  text: { format: "any", verbosity: "any" },
};

/** A message may refer to nothing that the provider keeps (`audio`, for instance): its size would be unknown. */
const messageKnown: Known = {
  role: "any",
  content: "any",
  name: "any",
  refusal: "any",
  tool_calls: "any",
  tool_call_id: "any",
  function_call: "any",
  reasoning_content: "any",
  annotations: "any",
};

const chatParts: Parts = { text: new Set(["text", "refusal"]), images: new Set(["image_url"]) };
const responseParts: Parts = {
  text: new Set(["input_text", "output_text", "refusal", "summary_text", "reasoning_text", "text"]),
  images: new Set(["input_image"]),
};

const withTier = (body: JsonObject, { original }: CallRules): JsonObject =>
  original && body["service_tier"] === undefined ? { ...body, service_tier: "default" } : body;

const usageOf = (usage: JsonValue | undefined): JsonObject | undefined =>
  isObject(usage) ? { ...usage, convention: "openai" } : undefined;

/** Another tier than the prices are for can't be priced: the usage counts as unknown. */
const pricedUsage = (answer: JsonObject): JsonObject | undefined => {
  const tier = answer["service_tier"] ?? "default";
  return tier === "default" || tier === "standard" || tier === "on_demand"
    ? usageOf(answer["usage"])
    : undefined;
};

const chatReader = (hideUsage: boolean): StreamReader => {
  let usage: JsonObject | undefined;
  return {
    take: (event) => {
      const data = dataOf(event);
      if (data === "[DONE]") return { forward: true, last: true };
      if (!/"usage"\s*:\s*\{/.test(data)) return { forward: true, last: false };
      const chunk: unknown = JSON.parse(data);
      if (!isObject(chunk)) return { forward: true, last: false };
      usage = pricedUsage(chunk) ?? usage;
      const { choices } = chunk;
      return { forward: !(hideUsage && Array.isArray(choices) && choices.length === 0), last: false };
    },
    usage: () => usage,
  };
};

const responsesReader = (): StreamReader => {
  let usage: JsonObject | undefined;
  return {
    take: (event) => {
      const data = dataOf(event);
      if (!/"type"\s*:\s*"response\.(?:completed|incomplete|failed)"/.test(data))
        return { forward: true, last: false };
      const chunk: unknown = JSON.parse(data);
      if (isObject(chunk) && isObject(chunk["response"])) usage = pricedUsage(chunk["response"]);
      return { forward: true, last: true };
    },
    usage: () => usage,
  };
};

/** The limit that a chat request sets, under the name that it sets it. */
const chatLimit = (
  body: JsonObject,
  { original }: CallRules,
): { name: string; given: number | undefined } => {
  const newer = integerOf(body, "max_completion_tokens", 1, tokensMax);
  const older = integerOf(body, "max_tokens", 1, tokensMax);
  if (newer !== undefined && older !== undefined)
    throw invalidRequest("max_tokens", "and `max_completion_tokens` mean the same: give one of them");
  if (older !== undefined) return { name: "max_tokens", given: older };
  // Whoever is only compatible may not know the newer name, and would set no limit at all.
  return { name: newer !== undefined || original ? "max_completion_tokens" : "max_tokens", given: newer };
};

const streamOptions = (body: JsonObject): JsonObject => {
  const options = body["stream_options"] ?? {};
  if (!isObject(options)) throw invalidRequest("stream_options", "must be an object");
  return options;
};

const readChat = (given: JsonObject, rules: CallRules): Call => {
  const body = withTier(knownParameters(given, chatKnown, rules), rules);
  checkWithin(body, within, rules);
  const messages = objectsOf(body["messages"], "messages");
  for (const message of messages) knownParameters(message, messageKnown, rules, "messages.");
  checkTools(objectsOf(body["tools"], "tools"), ["function", "custom"], rules);
  const { name, given: limit = rules.outputTokensDefault } = chatLimit(body, rules);
  const choices = integerOf(body, "n", 1, 128) ?? 1;
  const stream = flagOf(body, "stream");
  const options = streamOptions(body);
  const sent = {
    ...body,
    [name]: limit,
    ...(stream ? { stream_options: { ...options, include_usage: true } } : {}),
  };
  return {
    model: modelOf(body),
    inputTokensMax: inputTokensMax(
      sent,
      messages.map(({ content }) => content),
      chatParts,
      rules,
    ),
    outputTokensMax: limit * choices,
    body: sent,
    stream,
    digest: turnDigest(body, messages, ({ role }) => role === "assistant"),
    capped: (most) => {
      const each = Math.floor(most / choices);
      return each < 1 ? undefined : { ...sent, [name]: Math.min(limit, each) };
    },
    reader: () => chatReader(options["include_usage"] !== true),
  };
};

/** Items that hold all they mean. The others refer to what the provider keeps, or are the traces of its own tools. */
const plainItems: ReadonlySet<string> = new Set([
  "message",
  "function_call",
  "function_call_output",
  "custom_tool_call",
  "custom_tool_call_output",
  "reasoning",
]);

const checkItems = (items: readonly JsonObject[], { allow }: CallRules): void => {
  for (const item of items) {
    // Without a type it is a message, or a reference: only a message says whose it is.
    const bare = typeof item["role"] === "string" ? "message" : "item_reference";
    const type = typeof item["type"] === "string" ? item["type"] : bare;
    if (!plainItems.has(type) && !allow.has(`input.${type}`))
      throw unpricedParameter(`input.${type}`, "is of unknown size and cost");
    if (type === "reasoning" && typeof item["encrypted_content"] !== "string")
      throw invalidRequest(
        "input.reasoning",
        'refers to what the provider keeps, of unknown size: ask with `"include": ["reasoning.encrypted_content"]`, or leave it out',
      );
  }
};

const includable: ReadonlySet<string> = new Set([
  "reasoning.encrypted_content",
  "message.output_text.logprobs",
]);

const checkInclude = (include: JsonValue | undefined, { allow }: CallRules): void => {
  if (include === undefined) return;
  if (!Array.isArray(include)) throw invalidRequest("include", "must be a list");
  for (const one of include)
    if (typeof one !== "string" || !(includable.has(one) || allow.has(`include.${one}`)))
      throw unpricedParameter(`include.${JSON.stringify(one)}`, "is not passed on");
};

const isOwnItem = ({ role, type }: JsonObject): boolean =>
  role === "assistant" || type === "function_call" || type === "custom_tool_call" || type === "reasoning";

/** The least that OpenAI takes for `max_output_tokens`. */
const outputTokensLeast = 16;

const readResponses = (given: JsonObject, rules: CallRules): Call => {
  // Kept answers could be called up again, as input whose size nobody here knows.
  const body = withTier({ store: false, ...knownParameters(given, responsesKnown, rules) }, rules);
  checkWithin(body, within, rules);
  const { input = "" } = body;
  const items = typeof input === "string" ? [] : objectsOf(input, "input");
  checkItems(items, rules);
  checkInclude(body["include"], rules);
  checkTools(objectsOf(body["tools"], "tools"), ["function", "custom"], rules);
  const limit = integerOf(body, "max_output_tokens", 1, tokensMax) ?? rules.outputTokensDefault;
  const sent = { ...body, max_output_tokens: limit };
  const contents = items.flatMap(({ content, output }) => [content, output]);
  return {
    model: modelOf(body),
    inputTokensMax: inputTokensMax(sent, contents, responseParts, rules),
    outputTokensMax: limit,
    body: sent,
    stream: flagOf(body, "stream"),
    digest: turnDigest(
      body,
      items.filter(({ type }) => type !== "reasoning"),
      isOwnItem,
    ),
    capped: (most) =>
      most < Math.min(limit, outputTokensLeast)
        ? undefined
        : { ...sent, max_output_tokens: Math.min(limit, most) },
    reader: responsesReader,
  };
};

const embeddingsKnown: Known = {
  model: "any",
  input: "any",
  dimensions: "any",
  encoding_format: "any",
  user: "any",
};

const readEmbeddings = (given: JsonObject, rules: CallRules): Call => {
  const body = knownParameters(given, embeddingsKnown, rules);
  const { input } = body;
  const isText = typeof input === "string";
  const isList =
    Array.isArray(input) &&
    input.every((one) => ["string", "number"].includes(typeof one) || Array.isArray(one));
  if (!isText && !isList) throw invalidRequest("input", "must be a text or a list");
  return {
    model: modelOf(body),
    inputTokensMax: inputTokensMax(body, [], chatParts, rules),
    outputTokensMax: 0,
    body,
    stream: false,
    digest: turnDigest(body, [], () => false),
    capped: () => body,
    reader: responsesReader,
  };
};

/** OpenAI's words for what went wrong. */
const errorOf = ({ status, code, message, param }: Refusal): JsonObject => {
  const type =
    status === 401
      ? "authentication_error"
      : status === 403
        ? "permission_error"
        : status === 429
          ? "rate_limit_error"
          : status < 500
            ? "invalid_request_error"
            : "server_error";
  return { message, type, param: param ?? null, code };
};

const chatErrorEvent = (refusal: Refusal): string =>
  `data: ${JSON.stringify({ error: errorOf(refusal) })}\n\n`;

const responsesErrorEvent = ({ code, message }: Refusal): string =>
  `event: error\ndata: ${JSON.stringify({ type: "error", code, message, param: null })}\n\n`;

const endpoints: readonly Endpoint[] = [
  {
    path: "/chat/completions",
    metered: true,
    read: readChat,
    usage: pricedUsage,
    errorEvent: chatErrorEvent,
  },
  {
    path: "/responses",
    metered: true,
    read: readResponses,
    usage: pricedUsage,
    errorEvent: responsesErrorEvent,
  },
  {
    path: "/embeddings",
    metered: true,
    read: readEmbeddings,
    usage: pricedUsage,
    errorEvent: chatErrorEvent,
  },
];

export const openai: Dialect = {
  endpoints,
  agentKey: ({ authorization }) => /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1],
  upstreamHeaders: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),
  errorBody: (refusal) => ({ error: errorOf(refusal) }),
  answerHeaders: /^(?:x-request-id|openai-version|openai-processing-ms|x-ratelimit-[a-z-]+)$/,
  query: () => false,
};
