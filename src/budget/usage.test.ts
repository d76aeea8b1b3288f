/** Usage in every vocabulary comes to the same disjoint kinds, and what can't be understood is refused by name. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JsonObject, JsonValue } from "../kit/json.ts";
import type { TokenUsage } from "./prices.ts";
import { readUsage } from "./usage.ts";

/** One call: 700 tokens of new input, 200 read from the cache, 100 written to it; 50 out, 20 of them reasoning. */
const call: TokenUsage = { inputUncached: 700, cachedInput: 200, cacheWrite: 100, output: 50, reasoning: 20 };

const otel = {
  "gen_ai.usage.input_tokens": 1000,
  "gen_ai.usage.output_tokens": 50,
  "gen_ai.usage.cache_read.input_tokens": 200,
  "gen_ai.usage.cache_creation.input_tokens": 100,
  "gen_ai.usage.reasoning.output_tokens": 20,
};

const anthropic = {
  input_tokens: 700,
  output_tokens: 50,
  cache_read_input_tokens: 200,
  cache_creation_input_tokens: 100,
};

const spellings: [string, JsonObject][] = [
  [
    "plain names that include cached tokens",
    {
      convention: "otel",
      input_tokens: 1000,
      cached_input_tokens: 200,
      cache_write_tokens: 100,
      output_tokens: 50,
      reasoning_tokens: 20,
    },
  ],
  [
    "plain names that count cached tokens apart",
    {
      convention: "anthropic",
      input_tokens: 700,
      cached_input_tokens: 200,
      cache_write_tokens: 100,
      output_tokens: 50,
      reasoning_tokens: 20,
    },
  ],
  ["OpenTelemetry's names", { convention: "otel", ...otel }],
  [
    "OpenTelemetry's names from one that counts as Anthropic",
    { convention: "anthropic", ...otel, "gen_ai.usage.input_tokens": 700 },
  ],
  [
    "OpenAI's chat completions",
    {
      convention: "openai",
      prompt_tokens: 1000,
      completion_tokens: 50,
      total_tokens: 1050,
      prompt_tokens_details: { cached_tokens: 200, cache_write_tokens: 100, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 20,
        audio_tokens: 0,
        accepted_prediction_tokens: 3,
        rejected_prediction_tokens: 2,
      },
    },
  ],
  [
    "OpenAI's responses",
    {
      convention: "openai",
      input_tokens: 1000,
      output_tokens: 50,
      total_tokens: 1050,
      input_tokens_details: { cached_tokens: 200, cache_write_tokens: 100 },
      output_tokens_details: { reasoning_tokens: 20 },
    },
  ],
  [
    "Anthropic's messages",
    {
      convention: "anthropic",
      ...anthropic,
      output_tokens_details: { thinking_tokens: 20 },
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 0 },
      server_tool_use: { web_search_requests: 0, web_fetch_requests: 2 },
      service_tier: "standard",
      inference_geo: "not_available",
    },
  ],
];

describe("one call", () => {
  test.each(spellings)("F13: in %s comes to the same disjoint kinds", (_what, json) => {
    expect(readUsage(json)).toEqual(call);
  });

  test.each(spellings)(
    "F13: in %s says nothing without its convention",
    (_what, { convention: _convention, ...rest }) => {
      expect(readUsage(rest)).toHaveProperty(
        "fault",
        expect.stringMatching(/convention|whether input tokens include/),
      );
    },
  );
});

test("F13: every consistent call survives being written in each convention", () => {
  const count = fc.oneof(fc.nat(5), fc.nat(10 ** 9));
  fc.assert(
    fc.property(
      count,
      count,
      count,
      count,
      count,
      fc.constantFrom("otel", "openai", "anthropic"),
      (fresh, cached, written, text, reasoning, convention) => {
        const input = convention === "anthropic" ? fresh : fresh + cached + written;
        expect(
          readUsage({
            convention,
            input_tokens: input,
            cached_input_tokens: cached,
            cache_write_tokens: written,
            output_tokens: text + reasoning,
            reasoning_tokens: reasoning,
          }),
        ).toEqual({
          inputUncached: fresh,
          cachedInput: cached,
          cacheWrite: written,
          output: text + reasoning,
          reasoning,
        });
      },
    ),
  );
});

describe("no convention is needed", () => {
  test.each<[string, JsonObject]>([
    ["plain names", { input_tokens: 10, output_tokens: 2 }],
    ["OpenTelemetry's names", { "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2 }],
  ])("for %s without cached tokens", (_what, json) => {
    expect(readUsage(json)).toEqual({
      inputUncached: 10,
      cachedInput: 0,
      cacheWrite: 0,
      output: 2,
      reasoning: 0,
    });
  });
});

describe("names", () => {
  const plain = { input_tokens: 1, output_tokens: 1 };

  test.each<[string, JsonObject, JsonObject]>([
    ["plain", { model: "m", provider: "p" }, { model: "m", provider: "p" }],
    [
      "both models of OpenTelemetry",
      { "gen_ai.request.model": "m", "gen_ai.response.model": "m-2026", "gen_ai.provider.name": "p" },
      { model: "m-2026", requestedModel: "m", provider: "p" },
    ],
    ["the model asked for, alone", { "gen_ai.request.model": "m" }, { model: "m", requestedModel: "m" }],
  ])("of the model and provider are told: %s", (_what, given, wanted) => {
    const {
      inputUncached: _in,
      cachedInput: _c,
      cacheWrite: _w,
      output: _o,
      reasoning: _r,
      ...names
    } = readUsage({ ...plain, ...given }) as TokenUsage;
    expect(names).toEqual(wanted);
  });
});

test("what a provider leaves out or writes as null is absent, and embeddings have no output", () => {
  expect(
    readUsage({
      convention: "anthropic",
      ...anthropic,
      cache_creation: null,
      cache_creation_input_tokens: null,
      server_tool_use: null,
      service_tier: null,
    }),
  ).toEqual({ ...call, cacheWrite: 0, reasoning: 0 });
  expect(readUsage({ convention: "openai", prompt_tokens: 8, total_tokens: 8 })).toEqual({
    inputUncached: 8,
    cachedInput: 0,
    cacheWrite: 0,
    output: 0,
    reasoning: 0,
  });
});

const plain = { input_tokens: 10, output_tokens: 5 };
const openai = { convention: "openai", prompt_tokens: 10, completion_tokens: 5 };

describe("refused, naming the field, is", () => {
  test.each<[string, JsonValue, string, string]>([
    ["what is no object", [1], "", "must be an object"],
    ["nothing", {}, "input_tokens", "is missing"],
    ["input alone", { input_tokens: 10 }, "output_tokens", "is missing"],
    [
      "a total that leaves output unsaid",
      { convention: "openai", prompt_tokens: 10, total_tokens: 15 },
      "output_tokens",
      "is missing",
    ],
    ["output alone", { output_tokens: 10 }, "input_tokens", "is missing"],
    ["an unknown field", { ...plain, image_tokens: 1 }, "image_tokens", "is not a field of usage"],
    [
      "an unknown field of a nested object",
      { ...openai, prompt_tokens_details: { video_tokens: 1 } },
      "prompt_tokens_details.video_tokens",
      "is not a field of usage",
    ],
    [
      "a name from an object's prototype",
      { ...plain, constructor: 1 },
      "constructor",
      "is not a field of usage",
    ],
    [
      "an unknown convention",
      { ...plain, convention: "google" },
      "convention",
      "must be `otel`, `openai` or `anthropic`",
    ],
    [
      "a provider's own name without its convention",
      { prompt_tokens: 1, completion_tokens: 1 },
      "prompt_tokens",
      'needs `convention: "openai"`',
    ],
    [
      "a provider's own name in another's convention",
      { ...openai, cache_read_input_tokens: 1 },
      "cache_read_input_tokens",
      'needs `convention: "anthropic"`',
    ],
    [
      "a cached count of zero without convention",
      { ...plain, cached_input_tokens: 0 },
      "convention",
      "is missing",
    ],
    ["a fraction", { ...plain, output_tokens: 0.5 }, "output_tokens", "must be an integer"],
    ["a negative count", { ...plain, output_tokens: -1 }, "output_tokens", "must be an integer"],
    ["a count as text", { ...plain, output_tokens: "5" }, "output_tokens", "must be an integer"],
    ["null for a plain name", { ...plain, reasoning_tokens: null }, "reasoning_tokens", "must be an integer"],
    ["an empty model", { ...plain, model: "" }, "model", "must be a text"],
    [
      "a nested object that is none",
      { ...openai, prompt_tokens_details: 3 },
      "prompt_tokens_details",
      "is not a field of usage",
    ],
    [
      "one count in two names",
      { ...plain, "gen_ai.usage.input_tokens": 10 },
      "gen_ai.usage.input_tokens",
      "says the same as `input_tokens`",
    ],
    [
      "a model in two names",
      { ...plain, model: "m", "gen_ai.response.model": "m" },
      "gen_ai.response.model",
      "says the same as `model`",
    ],
    [
      "more cached than input",
      { ...plain, convention: "otel", cached_input_tokens: 11 },
      "cached_input_tokens",
      "more than `input_tokens`",
    ],
    [
      "more written than input",
      { ...plain, convention: "openai", cache_write_tokens: 11 },
      "cache_write_tokens",
      "more than `input_tokens`",
    ],
    [
      "more cached and written than input",
      { ...plain, convention: "otel", cached_input_tokens: 6, cache_write_tokens: 5 },
      "cached_input_tokens",
      "more than `input_tokens`",
    ],
    [
      "more reasoning than output",
      { ...plain, reasoning_tokens: 6 },
      "reasoning_tokens",
      "more than the output",
    ],
    ["a total that isn't the sum", { ...openai, total_tokens: 16 }, "total_tokens", "is not the sum"],
    [
      "a sum beyond the safe integers",
      { ...plain, input_tokens: 2 ** 53 - 1 },
      "input_tokens",
      "is too large",
    ],
    [
      "audio, which has other prices",
      { ...openai, prompt_tokens_details: { audio_tokens: 1 } },
      "prompt_tokens_details.audio_tokens",
      "is priced only as `0`",
    ],
    [
      "a batch, which has other prices",
      { ...anthropic, convention: "anthropic", service_tier: "batch" },
      "service_tier",
      'is priced only as `"standard"`',
    ],
    [
      "a place with other prices",
      { ...anthropic, convention: "anthropic", inference_geo: "us" },
      "inference_geo",
      'is priced only as `"global"` or `"not_available"`',
    ],
    [
      "searches, which cost apart",
      { ...anthropic, convention: "anthropic", server_tool_use: { web_search_requests: 1 } },
      "server_tool_use.web_search_requests",
      "is priced only as `0`",
    ],
    [
      "a cache for an hour, which costs more",
      {
        ...anthropic,
        convention: "anthropic",
        cache_creation: { ephemeral_5m_input_tokens: 99, ephemeral_1h_input_tokens: 1 },
      },
      "cache_creation.ephemeral_1h_input_tokens",
      "is priced only as `0`",
    ],
    [
      "cache writes whose parts are another sum",
      { ...anthropic, convention: "anthropic", cache_creation: { ephemeral_5m_input_tokens: 99 } },
      "cache_creation.ephemeral_5m_input_tokens",
      "is not what `cache_creation_input_tokens` says",
    ],
  ])("%s", (_what, json, field, fault) => {
    expect(readUsage(json)).toEqual({ field, fault: expect.stringContaining(fault) as string });
  });
});
