/**
 * Reads `prices.yaml`, the catalogue of what models cost: strict, every fault with its place, and what looks like a
 * slip of units or digits is a fault too, because a wrong price either blocks everyone or lets everyone spend.
 */
import { z } from "zod";
import { digestOf } from "../kit/digest.ts";
import type { LoadError } from "../kit/place.ts";
import { readYamlAs } from "../kit/yaml.ts";
import type { Price, PriceCatalogue, Rates } from "./prices.ts";

/** $1,000 per million tokens; and, below, $0.001: nobody sells outside of these, but units get mixed up. */
const rateMax = 1_000_000_000;
const rateMin = 1000;

const amount = (unit: string): z.ZodNumber =>
  z
    .int(`must be an integer of ${unit} ($0.15 is 150000)`)
    .min(0, "must not be negative")
    .max(rateMax, `is above ${rateMax} (is it in the right unit, ${unit}?)`);

const rate = amount("micro-USD per million tokens");
const count = z.int("must be an integer").min(1, "must be at least 1");
const name = z.string().min(1);

const rates = {
  input: rate.describe("Input tokens, micro-USD per million"),
  cached_input: rate.optional().describe("Input tokens read from a cache; default: the price of input"),
  cache_write: rate
    .optional()
    .describe("Input tokens written to a cache, the dearest way in use; default: the price of input"),
  output: rate.describe("Output tokens, micro-USD per million"),
  reasoning: rate
    .optional()
    .describe("Output tokens spent on reasoning, a part of the output; default: the price of output"),
};

const tierShape = z.strictObject({
  above_input_tokens: count.describe("The tier is for calls with more input tokens than this, cached or not"),
  ...rates,
});

const rowShape = z.strictObject({
  provider: name.optional().describe("Who sells the model; default: whoever does"),
  model: name.describe("The model's name, as the resource's id has it"),
  effective_from: z
    .union(
      [z.iso.date(), z.iso.datetime({ offset: true })],
      "must be a date (UTC) or an instant, such as `2026-06-01` or `2026-06-01T00:00:00Z`",
    )
    .optional()
    .describe("From when on the row holds: a date (UTC) or an instant; default: always"),
  ...rates,
  per_request: amount("micro-USD per request").optional().describe("Micro-USD of each call besides tokens"),
  tiers: z
    .array(tierShape)
    .default([])
    .describe(
      "Other prices of the whole call above so many input tokens, ascending. A kind that a tier leaves out costs the tier's input or output price, or what it costs below the tier if that is dearer",
    ),
  max_output_tokens: count.optional().describe("The most that the model can write in one call"),
  context: count.optional().describe("The most tokens that one call can hold, input and output together"),
  free: z.boolean().default(false).describe("Says that a price of zero is meant"),
  confirmed: z
    .boolean()
    .default(false)
    .describe("Says that an unlikely price, or an unlikely change from the row before, was checked"),
});

const fileShape = z.strictObject({
  prices: z
    .array(rowShape)
    .default([])
    .describe("A model may have several rows, told apart by effective_from"),
});

type Row = z.infer<typeof rowShape>;
type RawRates = Omit<z.infer<typeof tierShape>, "above_input_tokens">;
type Kind = keyof RawRates;
const kinds = ["input", "cached_input", "cache_write", "output", "reasoning"] as const satisfies Kind[];

/** A fault of one row: where in the row, and what. */
type RowFault = { path: (string | number)[]; message: string };

/** `schemas/prices.schema.json`. */
export const pricesJsonSchema = (): string =>
  JSON.stringify({ title: "policies/prices.yaml", ...z.toJSONSchema(fileShape, { io: "input" }) });

/** Fills in what is left out: with the price of its nearest kind, never as free; in a tier never below what it costs below the tier. */
const ratesOf = (raw: RawRates, below?: Rates): Rates => ({
  input: raw.input,
  cachedInput: raw.cached_input ?? Math.max(raw.input, below?.cachedInput ?? 0),
  cacheWrite: raw.cache_write ?? Math.max(raw.input, below?.cacheWrite ?? 0),
  output: raw.output,
  reasoning: raw.reasoning ?? Math.max(raw.output, below?.reasoning ?? 0),
});

const priceOf = (row: Row): Price => {
  const base = ratesOf(row);
  let below = base;
  return {
    ...(row.provider === undefined ? {} : { provider: row.provider }),
    model: row.model,
    ...(row.effective_from === undefined ? {} : { effectiveFrom: Date.parse(row.effective_from) * 1000 }),
    rates: base,
    requestMicros: row.per_request ?? 0,
    tiers: row.tiers.map((tier) => {
      below = ratesOf(tier, below);
      return { aboveInputTokens: tier.above_input_tokens, rates: below };
    }),
    ...(row.max_output_tokens === undefined ? {} : { maxOutputTokens: row.max_output_tokens }),
    ...(row.context === undefined ? {} : { contextTokens: row.context }),
  };
};

/** The row and its tiers, each with where it stands in the row. */
const partsOf = (row: Row): { raw: RawRates; at: (string | number)[] }[] => [
  { raw: row, at: [] },
  ...row.tiers.map((raw, position) => ({ raw, at: ["tiers", position] })),
];

const rateFaults = (row: Row): RowFault[] =>
  partsOf(row).flatMap(({ raw, at }) => {
    const faults: RowFault[] = [];
    for (const kind of kinds) {
      const value = raw[kind];
      if (value === undefined) continue;
      if (value === 0 && !row.free)
        faults.push({ path: [...at, kind], message: "is zero; if that is meant, say `free: true`" });
      if (value > 0 && value < rateMin && !row.confirmed)
        faults.push({
          path: [...at, kind],
          message: `is less than $0.001 per million tokens (is it in micro-USD?); if it was checked, say \`confirmed: true\``,
        });
    }
    if (raw.output > 0 && raw.output * 100 < raw.input)
      faults.push({ path: [...at, "output"], message: "is less than a hundredth of the price of input" });
    return faults;
  });

const tierFaults = ({ tiers }: Row): RowFault[] =>
  tiers.flatMap((tier, position) =>
    position > 0 && tier.above_input_tokens <= tiers[position - 1]!.above_input_tokens
      ? [{ path: ["tiers", position, "above_input_tokens"], message: "tiers must be ascending" }]
      : [],
  );

const isFar = (before: number, after: number): boolean =>
  Math.max(before, after) > 10 * Math.min(before, after);

/** A price that a row names, by the name it has in the row. */
const namedPrices = (row: Row): Map<string, { value: number; path: (string | number)[] }> => {
  const named = new Map<string, { value: number; path: (string | number)[] }>();
  for (const { raw, at } of partsOf(row)) {
    const suffix = "above_input_tokens" in raw ? ` above ${String(raw.above_input_tokens)} input tokens` : "";
    for (const kind of kinds) {
      const value = raw[kind];
      if (value !== undefined) named.set(`${kind}${suffix}`, { value, path: [...at, kind] });
    }
  }
  if (row.per_request !== undefined)
    named.set("per_request", { value: row.per_request, path: ["per_request"] });
  return named;
};

/** What a row changes from the row before it that nobody changes by intent without saying so. */
const changeFaults = (before: Row, row: Row): RowFault[] => {
  if (row.confirmed) return [];
  const remedy = "; if it was checked, say `confirmed: true`";
  const after = namedPrices(row);
  const faults: RowFault[] = [];
  for (const [name, { value }] of namedPrices(before)) {
    const now = after.get(name);
    if (!now)
      faults.push({ path: [], message: `\`${name}\`, which the row before has, is missing${remedy}` });
    else if (isFar(value, now.value))
      faults.push({
        path: now.path,
        message: `differs more than tenfold from ${value} of the row before${remedy}`,
      });
  }
  return faults;
};

type Entry = { row: Row; price: Price; position: number };

const startOf = ({ price }: Entry): number => price.effectiveFrom ?? -Infinity;

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const byContent = (a: Entry, b: Entry): number =>
  compareTexts(a.price.model, b.price.model) ||
  compareTexts(a.price.provider ?? "", b.price.provider ?? "") ||
  // `always` twice would be the difference of two infinities.
  (startOf(a) === startOf(b) ? a.position - b.position : startOf(a) - startOf(b));

const isSameModel = (a: Entry, b: Entry): boolean =>
  a.price.model === b.price.model && a.price.provider === b.price.provider;

/** Faults between rows of one model; `sorted` is {@link byContent}. */
const neighbourFaults = (sorted: readonly Entry[]): { position: number; fault: RowFault }[] =>
  sorted.flatMap((entry, index) => {
    const before = sorted[index - 1];
    if (!before || !isSameModel(before, entry)) return [];
    const { row, position } = entry;
    if (startOf(before) === startOf(entry)) {
      const message = `\`${row.model}\` is listed twice for the same provider and time`;
      return [{ position, fault: { path: ["model"], message } }];
    }
    return changeFaults(before.row, row).map((fault) => ({ position, fault }));
  });

/**
 * Reads the file; an empty one is a catalogue without prices. The version depends on the prices alone: neither on
 * the order of rows nor on comments, and two spellings of one instant are the same.
 */
export const readPrices = (
  file: string,
  text: string,
): { catalogue: PriceCatalogue } | { errors: LoadError[] } => {
  const read = readYamlAs(file, text, fileShape);
  if ("errors" in read) return read;
  const entries = read.value.prices.map((row, position) => ({ row, price: priceOf(row), position }));
  const sorted = [...entries].sort(byContent);
  const faults = [
    ...entries.flatMap(({ row, position }) =>
      [...rateFaults(row), ...tierFaults(row)].map((fault) => ({ position, fault })),
    ),
    ...neighbourFaults(sorted),
  ];
  if (faults.length > 0) {
    const errors = faults.map(({ position, fault: { path, message } }) => ({
      message: `${["prices", position, ...path].join(".")}: ${message}`,
      ...read.placeOf(["prices", position, ...path]),
    }));
    return { errors: errors.sort((a, b) => a.line - b.line || a.column - b.column) };
  }
  const models = new Map<string, Price[]>();
  for (const { price } of sorted) models.set(price.model, [...(models.get(price.model) ?? []), price]);
  return { catalogue: { version: digestOf(sorted.map(({ price }) => price)), models } };
};
