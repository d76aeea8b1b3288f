/** The catalogue's file: what is left out, what is refused, and where. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { isObject, type JsonValue } from "../kit/json.ts";
import { loadErrorText } from "../kit/place.ts";
import { readYaml } from "../kit/yaml.ts";
import { costMicros, type Price, priceAt, type PriceCatalogue } from "./prices.ts";
import { readPrices } from "./read-prices.ts";

const errorsOf = (text: string): string[] => {
  const read = readPrices("prices.yaml", text);
  return "errors" in read ? read.errors.map(loadErrorText) : [];
};

const catalogueOf = (text: string): PriceCatalogue => {
  const read = readPrices("prices.yaml", text);
  if ("errors" in read) throw new Error(read.errors.map(loadErrorText).join("\n"));
  return read.catalogue;
};

/** A text in which `^` stands before what is at fault: the text without it, and where it stood. */
const marked = (text: string): { text: string; place: string } => {
  const before = text.slice(0, text.indexOf("^")).split("\n");
  return {
    text: text.replace("^", ""),
    place: `prices.yaml:${before.length}:${before.at(-1)!.length + 1}: `,
  };
};

/** A file of these rows, in flow style: the first row starts at 2:5. */
const rows = (...rows: string[]): string => `prices:\n${rows.map((row) => `  - { ${row} }\n`).join("")}`;

const startingWith = (start: string): RegExp => new RegExp(`^${start.replaceAll(/[.$]/g, String.raw`\$&`)}`);

const only = (row: string): Price => catalogueOf(rows(row)).models.get("m")![0]!;

describe("a row", () => {
  test("is read with everything that it can hold", () => {
    const row =
      "provider: p, model: m, effective_from: 2026-06-01T02:00:00+02:00, input: 3000000, cached_input: 300000, cache_write: 3750000, output: 15000000, reasoning: 16000000, per_request: 5, max_output_tokens: 8000, context: 200000, tiers: [{ above_input_tokens: 200000, input: 6000000, cached_input: 600000, cache_write: 7500000, output: 22500000, reasoning: 23000000 }]";
    expect(only(row)).toEqual({
      provider: "p",
      model: "m",
      effectiveFrom: Date.UTC(2026, 5, 1) * 1000,
      rates: {
        input: 3_000_000,
        cachedInput: 300_000,
        cacheWrite: 3_750_000,
        output: 15_000_000,
        reasoning: 16_000_000,
      },
      requestMicros: 5,
      maxOutputTokens: 8000,
      contextTokens: 200_000,
      tiers: [
        {
          aboveInputTokens: 200_000,
          rates: {
            input: 6_000_000,
            cachedInput: 600_000,
            cacheWrite: 7_500_000,
            output: 22_500_000,
            reasoning: 23_000_000,
          },
        },
      ],
    });
  });

  test("F13: without prices for caching and reasoning has those of input and output, never zero", () => {
    expect(only("model: m, input: 150000, output: 600000")).toEqual({
      model: "m",
      rates: {
        input: 150_000,
        cachedInput: 150_000,
        cacheWrite: 150_000,
        output: 600_000,
        reasoning: 600_000,
      },
      requestMicros: 0,
      tiers: [],
    });
  });

  test("F13: a tier that leaves a kind out has the tier's own price or the one below it, whichever is dearer", () => {
    const price = only(
      "model: m, input: 3000000, cached_input: 300000, cache_write: 7000000, output: 15000000, reasoning: 30000000, tiers: [{ above_input_tokens: 200000, input: 6000000, cache_write: 9000000, output: 22500000 }, { above_input_tokens: 400000, input: 8000000, output: 40000000 }]",
    );
    expect(price.tiers.map(({ rates }) => rates)).toEqual([
      {
        input: 6_000_000,
        cachedInput: 6_000_000,
        cacheWrite: 9_000_000,
        output: 22_500_000,
        reasoning: 30_000_000,
      },
      {
        input: 8_000_000,
        cachedInput: 8_000_000,
        cacheWrite: 9_000_000,
        output: 40_000_000,
        reasoning: 40_000_000,
      },
    ]);
  });

  test("a date means midnight in UTC", () => {
    expect(only("model: m, effective_from: 2026-06-01, input: 1000, output: 1000").effectiveFrom).toBe(
      Date.UTC(2026, 5, 1) * 1000,
    );
  });
});

const plain = "input: 150000, output: 600000";
const tier9 = `{ above_input_tokens: 9, ${plain} }`;

describe("refused, naming the place, is", () => {
  test.each<[string, string, string]>([
    ["an unknown key", `prices:\n  - ^{ model: m, ${plain}, colour: red }`, "prices.0: "],
    ["no model", `prices:\n  - ^{ ${plain} }`, "prices.0.model: "],
    ["no price of output", "prices:\n  - ^{ model: m, input: 150000 }", "prices.0.output: "],
    [
      "a fraction",
      rows("model: m, output: 600000, input: ^0.15"),
      "prices.0.input: must be an integer of micro-USD per million tokens",
    ],
    ["a text", rows("model: m, output: 600000, input: ^150_000"), "prices.0.input: must be an integer"],
    [
      "a negative price",
      rows("model: m, input: 150000, output: ^-1"),
      "prices.0.output: must not be negative",
    ],
    [
      "a price above $1,000 per million",
      rows("model: m, input: 150000, output: ^1000000001"),
      "prices.0.output: is above 1000000000",
    ],
    [
      "dollars for micro-dollars",
      rows("model: m, output: 600000, input: ^999"),
      "prices.0.input: is less than $0.001",
    ],
    ["zero", rows("model: m, output: 600000, input: ^0"), "prices.0.input: is zero"],
    [
      "zero for what a cache holds",
      rows(`model: m, ${plain}, cached_input: ^0`),
      "prices.0.cached_input: is zero",
    ],
    [
      "output for less than a hundredth of input",
      rows("model: m, input: 150001, output: ^1500"),
      "prices.0.output: is less than a hundredth",
    ],
    [
      "a day that doesn't exist",
      rows(`model: m, ${plain}, effective_from: ^2026-02-30`),
      "prices.0.effective_from: must be a date",
    ],
    [
      "a tier at the same threshold",
      rows(`model: m, ${plain}, tiers: [${tier9}, { above_input_tokens: ^9, ${plain} }]`),
      "prices.0.tiers.1.above_input_tokens: tiers must be ascending",
    ],
    [
      "a tier below the one before",
      rows(`model: m, ${plain}, tiers: [${tier9}, { above_input_tokens: ^8, ${plain} }]`),
      "prices.0.tiers.1.above_input_tokens: tiers must be ascending",
    ],
    [
      "a tier for dollars",
      rows(`model: m, ${plain}, tiers: [{ above_input_tokens: 9, input: ^6, output: 600000 }]`),
      "prices.0.tiers.0.input: is less than $0.001",
    ],
    [
      "a model twice",
      rows(`model: m, ${plain}`, `model: ^m, ${plain}`),
      "prices.1.model: `m` is listed twice",
    ],
    [
      "a model twice at one instant in two spellings",
      rows(
        `model: m, effective_from: 2026-06-01, ${plain}`,
        `model: ^m, effective_from: "2026-06-01T02:00:00+02:00", ${plain}`,
      ),
      "prices.1.model: `m` is listed twice",
    ],
  ])("F13: %s", (_what, faulty, message) => {
    const { text, place } = marked(faulty);
    expect(errorsOf(text)).toEqual([expect.stringMatching(startingWith(place + message))]);
  });

  test("every fault at once, in the order of the file", () => {
    const faulty = rows("model: b, input: 0, output: 600000", `model: a, ${plain}, cached_input: 0`);
    expect(errorsOf(faulty).map((error) => /:(\d+):\d+: (.*): is zero/.exec(error)?.slice(1))).toEqual([
      ["2", "prices.0.input"],
      ["3", "prices.1.cached_input"],
    ]);
  });
});

test("F13: zero is taken where the row says that it is free, for an embedding's output too", () => {
  expect(only("model: m, input: 20000, output: 0, free: true").rates.output).toBe(0);
  expect(only("model: m, input: 0, output: 0, free: true").rates).toEqual({
    input: 0,
    cachedInput: 0,
    cacheWrite: 0,
    output: 0,
    reasoning: 0,
  });
});

test("F13: a tiny price is taken where it was checked", () => {
  expect(only("model: m, input: 3, output: 4, confirmed: true").rates.input).toBe(3);
});

describe("a later row", () => {
  const before = "model: m, input: 100000, cached_input: 10000, output: 400000";
  const later = (rest: string): string => rows(before, `model: m, effective_from: 2026-06-01, ${rest}`);

  test.each([
    ["ten times as dear", "input: 1000000, cached_input: 10000, output: 400000"],
    ["a tenth", "input: 10000, cached_input: 10000, output: 400000"],
    [
      "dearer by a kind that had no price of its own",
      "input: 100000, cached_input: 10000, cache_write: 9000000, output: 400000",
    ],
  ])("that is %s is taken", (_what, rest) => {
    expect(errorsOf(later(rest))).toEqual([]);
  });

  test.each([
    [
      "more than ten times as dear",
      "input: ^1000001, cached_input: 10000, output: 400000",
      "prices.1.input: differs more than tenfold from 100000",
    ],
    [
      "less than a tenth",
      "input: ^9999, cached_input: 10000, output: 400000",
      "prices.1.input: differs more than tenfold",
    ],
  ])("F13: that is %s must be confirmed", (_what, rest, message) => {
    const { text, place } = marked(later(rest));
    expect(errorsOf(text)).toEqual([expect.stringMatching(startingWith(place + message))]);
    expect(errorsOf(marked(later(`${rest}, confirmed: true`)).text)).toEqual([]);
  });

  test("F13: that loses the price of cached input must be confirmed", () => {
    const rest = "input: 100000, output: 400000";
    expect(errorsOf(later(rest))).toEqual([
      expect.stringContaining("3:5: prices.1: `cached_input`, which the row before has, is missing"),
    ]);
    expect(errorsOf(later(`${rest}, confirmed: true`))).toEqual([]);
  });

  test("F13: that loses the tier of the row before must be confirmed", () => {
    const tier = "tiers: [{ above_input_tokens: 200000, input: 200000, output: 800000 }]";
    const text = rows(`model: m, ${plain}, ${tier}`, `model: m, effective_from: 2026-06-01, ${plain}`);
    expect(errorsOf(text)).toHaveLength(2);
    expect(errorsOf(text)[0]).toContain(
      "`input above 200000 input tokens`, which the row before has, is missing",
    );
  });

  test("F13: is compared with the row before it in time, not in the file, and not with another provider's", () => {
    const cheap = "model: m, provider: p, input: 10000, output: 10000";
    const middle = "model: m, provider: p, effective_from: 2026-01-01, input: 90000, output: 90000";
    const dear = "model: m, provider: p, effective_from: 2026-06-01, input: 800000, output: 800000";
    const other = "model: m, provider: q, effective_from: 2026-02-01, input: 900000000, output: 900000000";
    expect(errorsOf(rows(dear, other, cheap, middle))).toEqual([]);
    expect(errorsOf(rows(dear, cheap))[0]).toMatch(/^prices\.yaml:2:\d+: prices\.0\.input: differs/);
  });
});

describe("the version", () => {
  const a = "model: a, input: 150000, output: 600000";
  const b = "model: b, effective_from: 2026-06-01, input: 150000, output: 600000";
  const version = (...of: string[]): string => catalogueOf(rows(...of)).version;

  test("names the prices, not how they are written", () => {
    expect(version(a, b)).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(version(b, a)).toBe(version(a, b));
    expect(version(a, b.replace("2026-06-01", '"2026-06-01T00:00:00Z"'))).toBe(version(a, b));
    expect(version(`${a}, cached_input: 150000, confirmed: true`, b)).toBe(version(a, b));
  });

  test.each([
    ["a price", a.replace("600000", "600001")],
    ["a kind", `${a}, cached_input: 15000`],
    ["a provider", `${a}, provider: p`],
    ["a time", `${a}, effective_from: 2026-06-01`],
    ["a tier", `${a}, tiers: [{ above_input_tokens: 9, ${plain} }]`],
    ["a price per request", `${a}, per_request: 1`],
    ["a limit", `${a}, max_output_tokens: 9`],
  ])("changes with %s", (_what, changed) => {
    expect(version(changed, b)).not.toBe(version(a, b));
  });
});

test("an empty file is a catalogue without prices", () => {
  expect(catalogueOf("").models.size).toBe(0);
});

describe("the catalogue that is shipped", () => {
  const read = (path: string): string =>
    readFileSync(fileURLToPath(new URL(`../../policies/${path}`, import.meta.url)), "utf8");
  const catalogue = catalogueOf(read("prices.yaml"));
  const entities = readYaml("entities.yaml", read("entities/entities.yaml"));
  if ("errors" in entities) throw new Error("the shipped entities can't be read");
  const models = (entities.value as JsonValue[])
    .filter(isObject)
    .filter(({ uid }) => isObject(uid!) && uid["type"] === "Model")
    .map(({ uid, attrs }) => ({
      model: (uid as { id: string }).id,
      provider: (attrs as { provider: string }).provider,
    }));

  test("F13: has a price for every model of the worked example, with and without its provider", () => {
    expect(models.length).toBeGreaterThan(1);
    for (const { model, provider } of models) {
      expect(priceAt(catalogue, { model, provider }, 0)?.model).toBe(model);
      expect(priceAt(catalogue, { model }, 0)?.model).toBe(model);
    }
  });

  test("prices a call of the frontier model on both sides of its tier", () => {
    const price = priceAt(catalogue, { model: "frontier-1", provider: "example" }, 0)!;
    const call = { inputUncached: 200_000, cachedInput: 0, cacheWrite: 0, output: 1000, reasoning: 0 };
    expect(costMicros(price, call)).toBe(600_000 + 15_000);
    expect(costMicros(price, { ...call, cachedInput: 1 })).toBe(1_200_000 + 1 + 22_500);
  });
});
