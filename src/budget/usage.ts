/**
 * Reads the usage that a settlement reports: plain names, OpenTelemetry's GenAI names, or a provider's own object.
 * Some count cached tokens as input and some don't, so whoever reports cached tokens says which; what isn't
 * understood is a fault, because a count passed over is money passed over.
 */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { TokenUsage } from "./prices.ts";

/** How counts are meant: `otel` and `openai` count cached tokens as input, `anthropic` counts them apart. */
export const conventions = ["otel", "openai", "anthropic"] as const;
export type Convention = (typeof conventions)[number];

export type UsageReport = TokenUsage & {
  /** The model that answered; where only the request is known, the one that was asked. */
  model?: string;
  /** The model that was asked, where the report tells it. */
  requestedModel?: string;
  provider?: string;
};

/** `field` is a dotted path. */
export type UsageFault = { field: string; fault: string };

type Count = "input" | "cached" | "written" | "output" | "reasoning" | "total" | "writtenParts";
type Text = "model" | "requestedModel" | "provider";

/** What a field says. `only` lists the values that the catalogue's prices are for; any other costs something else. */
type Meaning = { count: Count } | { text: Text } | { only: readonly JsonValue[] } | "contained";

const count = (count: Count): Meaning => ({ count });
const text = (text: Text): Meaning => ({ text });
const none: Meaning = { only: [0] };

/** Names that say nothing of how they count. */
const commonNames: ReadonlyMap<string, Meaning> = new Map([
  ["input_tokens", count("input")],
  ["output_tokens", count("output")],
  ["cached_input_tokens", count("cached")],
  ["cache_write_tokens", count("written")],
  ["reasoning_tokens", count("reasoning")],
  ["model", text("model")],
  ["provider", text("provider")],
  // OpenTelemetry semantic conventions for generative AI, schema gen-ai/1.42.0 (status: development).
  ["gen_ai.usage.input_tokens", count("input")],
  ["gen_ai.usage.output_tokens", count("output")],
  ["gen_ai.usage.cache_read.input_tokens", count("cached")],
  ["gen_ai.usage.cache_creation.input_tokens", count("written")],
  ["gen_ai.usage.reasoning.output_tokens", count("reasoning")],
  ["gen_ai.response.model", text("model")],
  ["gen_ai.request.model", text("requestedModel")],
  ["gen_ai.provider.name", text("provider")],
]);

/** Names in a provider's own usage object, besides the common ones. Parts of nested objects are dotted. */
const ownNames: Record<Convention, ReadonlyMap<string, Meaning>> = {
  otel: new Map(),
  // Chat completions and embeddings (prompt, completion) and responses (input, output).
  openai: new Map([
    ["prompt_tokens", count("input")],
    ["completion_tokens", count("output")],
    ["total_tokens", count("total")],
    ...["prompt_tokens_details", "input_tokens_details"].flatMap((details): [string, Meaning][] => [
      [`${details}.cached_tokens`, count("cached")],
      [`${details}.cache_write_tokens`, count("written")],
      [`${details}.text_tokens`, "contained"],
      [`${details}.audio_tokens`, none],
      [`${details}.image_tokens`, none],
    ]),
    ...["completion_tokens_details", "output_tokens_details"].flatMap((details): [string, Meaning][] => [
      [`${details}.reasoning_tokens`, count("reasoning")],
      [`${details}.text_tokens`, "contained"],
      [`${details}.accepted_prediction_tokens`, "contained"],
      [`${details}.rejected_prediction_tokens`, "contained"],
      [`${details}.audio_tokens`, none],
      [`${details}.image_tokens`, none],
    ]),
  ]),
  anthropic: new Map([
    ["cache_read_input_tokens", count("cached")],
    ["cache_creation_input_tokens", count("written")],
    ["cache_creation.ephemeral_5m_input_tokens", count("writtenParts")],
    // Kept for an hour, a write costs more than the catalogue's one price of writing.
    ["cache_creation.ephemeral_1h_input_tokens", none],
    ["output_tokens_details.thinking_tokens", count("reasoning")],
    ["server_tool_use.web_search_requests", none],
    ["server_tool_use.web_fetch_requests", "contained"],
    ["service_tier", { only: ["standard"] }],
    ["inference_geo", { only: ["global", "not_available"] }],
    ["speed", { only: ["standard"] }],
  ]),
};

/** Objects inside a usage object. */
const nested: ReadonlySet<string> = new Set(
  Object.values(ownNames).flatMap((names) =>
    [...names.keys()].flatMap((name) => name.split(".").slice(0, -1)),
  ),
);

/** The fields of a usage object, those of nested objects dotted; `null` is how providers write "absent". */
const fieldsOf = (json: JsonObject, convention: Convention | undefined): [string, JsonValue][] =>
  Object.entries(json)
    .filter(([name, value]) => name !== "convention" && !(convention !== undefined && value === null))
    .flatMap(([name, value]): [string, JsonValue][] =>
      nested.has(name) && isObject(value)
        ? Object.entries(value)
            .filter(([, part]) => part !== null)
            .map(([part, inner]) => [`${name}.${part}`, inner])
        : [[name, value]],
    );

type Found<K, V> = Map<K, { value: V; field: string }>;

/** What the fields say, and which field said it. */
type Facts = { counts: Found<Count, number>; texts: Found<Text, string> };

const unknownFault = (field: string): string => {
  const owner = conventions.find((name) => ownNames[name].has(field));
  return owner === undefined ? "is not a field of usage" : `needs \`convention: "${owner}"\``;
};

const onlyText = (values: readonly JsonValue[]): string =>
  values.map((value) => `\`${JSON.stringify(value)}\``).join(" or ");

const isCount = (value: JsonValue): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

/** Takes one field into `facts`. @returns what is wrong with it */
const takeField = (
  facts: Facts,
  field: string,
  value: JsonValue,
  meaning: Meaning | undefined,
): string | undefined => {
  if (meaning === undefined) return unknownFault(field);
  if (meaning === "contained") return isCount(value) ? undefined : "must be an integer of at least 0";
  if ("only" in meaning)
    return meaning.only.includes(value)
      ? undefined
      : `is priced only as ${onlyText(meaning.only)}; settle with amounts, or with plain names where a price covers it`;
  if ("text" in meaning) {
    if (typeof value !== "string" || value === "") return "must be a text that is not empty";
    const other = facts.texts.get(meaning.text);
    if (other) return `says the same as \`${other.field}\``;
    facts.texts.set(meaning.text, { value, field });
    return undefined;
  }
  if (!isCount(value)) return "must be an integer of at least 0";
  const other = facts.counts.get(meaning.count);
  if (other) return `says the same as \`${other.field}\``;
  facts.counts.set(meaning.count, { value, field });
  return undefined;
};

const conventionOf = (json: JsonObject): { convention: Convention | undefined } | UsageFault => {
  if (!Object.hasOwn(json, "convention")) return { convention: undefined };
  const convention = conventions.find((name) => name === json["convention"]);
  const fault = "must be `otel`, `openai` or `anthropic`";
  return convention === undefined ? { field: "convention", fault } : { convention };
};

/** The counts as disjoint kinds, if they fit together. */
const usageOf = (counts: Facts["counts"], convention: Convention | undefined): TokenUsage | UsageFault => {
  const valueOf = (kind: Count): number => counts.get(kind)?.value ?? 0;
  const fieldOf = (kind: Count): string => counts.get(kind)?.field ?? "";
  const [input, cached, written] = [valueOf("input"), valueOf("cached"), valueOf("written")];
  const [output, reasoning, total] = [valueOf("output"), valueOf("reasoning"), valueOf("total")];
  if (!counts.has("input")) return { field: "input_tokens", fault: "is missing" };
  // Embeddings report no output, but a total that is all input.
  if (!counts.has("output") && !(counts.has("total") && total === input))
    return { field: "output_tokens", fault: "is missing" };
  if ((counts.has("cached") || counts.has("written")) && convention === undefined)
    return { field: "convention", fault: "is missing: it says whether input tokens include cached ones" };
  if (counts.has("writtenParts") && valueOf("writtenParts") !== written)
    return { field: fieldOf("writtenParts"), fault: "is not what `cache_creation_input_tokens` says" };
  const isApart = convention === "anthropic";
  if (!isApart && cached + written > input)
    return {
      field: fieldOf(cached > 0 ? "cached" : "written"),
      fault: `is, with all cached tokens, more than \`${fieldOf("input")}\`, which includes them`,
    };
  if (reasoning > output)
    return { field: fieldOf("reasoning"), fault: "is more than the output tokens, which include it" };
  if (counts.has("total") && total !== input + output)
    return { field: fieldOf("total"), fault: "is not the sum of input and output tokens" };
  const inputUncached = isApart ? input : input - cached - written;
  if (!Number.isSafeInteger(inputUncached + cached + written + output))
    return { field: fieldOf("input"), fault: "is too large together with the other counts" };
  return { inputUncached, cachedInput: cached, cacheWrite: written, output, reasoning };
};

/**
 * Reads a usage object into disjoint kinds of tokens. Cached tokens in any names, and a provider's own names, need
 * `convention`. Unknown fields, two fields of one meaning, counts that contradict one another and what the
 * catalogue's prices aren't for (batches, searches, audio, …) are faults.
 */
export const readUsage = (json: JsonValue): UsageReport | UsageFault => {
  if (!isObject(json)) return { field: "", fault: "must be an object" };
  const said = conventionOf(json);
  if ("fault" in said) return said;
  const { convention } = said;
  const facts: Facts = { counts: new Map(), texts: new Map() };
  for (const [field, value] of fieldsOf(json, convention)) {
    const meaning = commonNames.get(field) ?? (convention && ownNames[convention].get(field));
    const fault = takeField(facts, field, value, meaning);
    if (fault !== undefined) return { field, fault };
  }
  const usage = usageOf(facts.counts, convention);
  if ("fault" in usage) return usage;
  const requestedModel = facts.texts.get("requestedModel")?.value;
  const model = facts.texts.get("model")?.value ?? requestedModel;
  const provider = facts.texts.get("provider")?.value;
  return {
    ...usage,
    ...(model === undefined ? {} : { model }),
    ...(requestedModel === undefined ? {} : { requestedModel }),
    ...(provider === undefined ? {} : { provider }),
  };
};
