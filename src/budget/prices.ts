/**
 * What model calls cost: integer micro-USD, rounded up once per call, never guessed. A model without a price is
 * unpriced, which is not the same as free.
 */
import { assert } from "../kit/assert.ts";
import type { Micros } from "../kit/clock.ts";

/** Micro-USD per million tokens, every kind filled in: what a file leaves out costs what its nearest kind costs. */
export type Rates = {
  /** Input that was neither read from a cache nor written to one. */
  input: number;
  cachedInput: number;
  cacheWrite: number;
  output: number;
  /** Reasoning tokens, which are a part of the output. */
  reasoning: number;
};

/** Rates of the whole call once its input, cached or not, is above so many tokens. */
export type Tier = { aboveInputTokens: number; rates: Rates };

/** One row of the catalogue. Plain data: what a hold was priced with can be kept beside it. */
export type Price = {
  /** Absent: whoever provides the model. */
  provider?: string;
  model: string;
  /** Absent: always. */
  effectiveFrom?: Micros;
  rates: Rates;
  /** Micro-USD of each call, besides its tokens. */
  requestMicros: number;
  /** Ascending. */
  tiers: Tier[];
  maxOutputTokens?: number;
  contextTokens?: number;
};

/** Plain data: it crosses threads. */
export type PriceCatalogue = {
  /** Digest of the prices. */
  version: string;
  /** Rows by model. */
  models: ReadonlyMap<string, readonly Price[]>;
};

/** Tokens of one call. The kinds are disjoint, but for `reasoning`, which is contained in `output`. */
export type TokenUsage = {
  inputUncached: number;
  cachedInput: number;
  cacheWrite: number;
  output: number;
  reasoning: number;
};

const perMillion = 1_000_000n;
const microsMax = BigInt(Number.MAX_SAFE_INTEGER);

const assertCount = (value: number, what: string): void =>
  assert(Number.isSafeInteger(value) && value >= 0, `${what} was to be a safe integer of at least 0`);

const startOf = (price: Price): number => price.effectiveFrom ?? -Infinity;

const newestAt = (rows: readonly Price[], at: Micros): Price | undefined => {
  let newest: Price | undefined;
  for (const row of rows)
    if (startOf(row) <= at && (newest === undefined || startOf(row) > startOf(newest))) newest = row;
  return newest;
};

/**
 * The price of a model at an instant: the newest row that is in force. A provider's own rows win over rows that name
 * none. `undefined` means unpriced, which also is a name that two providers carry, now or at another time, when the
 * question doesn't say whose is meant.
 */
export const priceAt = (
  catalogue: PriceCatalogue,
  { model, provider }: { model: string; provider?: string },
  at: Micros,
): Price | undefined => {
  const rows = catalogue.models.get(model) ?? [];
  if (provider === undefined) {
    const isAmbiguous = rows.some((row) => row.provider !== rows[0]?.provider);
    return isAmbiguous ? undefined : newestAt(rows, at);
  }
  const rowsOf = (name: string | undefined): Price[] => rows.filter((row) => row.provider === name);
  return newestAt(rowsOf(provider), at) ?? newestAt(rowsOf(undefined), at);
};

/** `ceil(Σ tokens · rate / 10^6)`, once. Products leave the doubles' integers soon, hence BigInt. */
const microsOf = (
  parts: readonly (readonly [tokens: number, rate: number])[],
  requestMicros: number,
): number | "overflow" => {
  let sum = 0n;
  for (const [tokens, rate] of parts) sum += BigInt(tokens) * BigInt(rate);
  const micros = (sum + perMillion - 1n) / perMillion + BigInt(requestMicros);
  return micros <= microsMax ? Number(micros) : "overflow";
};

const ratesAt = (price: Price, inputTokens: number): Rates =>
  price.tiers.findLast((tier) => inputTokens > tier.aboveInputTokens)?.rates ?? price.rates;

/**
 * Micro-USD that a call has cost. `overflow` where no safe integer can say it: such a call can't be charged, and
 * nobody may take it for cheap.
 */
export const costMicros = (price: Price, usage: TokenUsage): number | "overflow" => {
  const { inputUncached, cachedInput, cacheWrite, output, reasoning } = usage;
  for (const [kind, tokens] of Object.entries(usage)) assertCount(tokens, `\`${kind}\``);
  assert(reasoning <= output, "reasoning tokens were to be a part of the output");
  const rates = ratesAt(price, inputUncached + cachedInput + cacheWrite);
  return microsOf(
    [
      [inputUncached, rates.input],
      [cachedInput, rates.cachedInput],
      [cacheWrite, rates.cacheWrite],
      [output - reasoning, rates.output],
      [reasoning, rates.reasoning],
    ],
    price.requestMicros,
  );
};

type Worst = { inputTokens: number; inputRate: number; outputRate: number };

/**
 * The dearest call in each tier that up to `inputTokens` can reach. All of them count, not only the highest: where a
 * higher tier is cheaper, a shorter input may cost more.
 */
const worstByTier = (price: Price, inputTokens: number): Worst[] => {
  const reached = price.tiers.filter((tier) => inputTokens > tier.aboveInputTokens);
  return [price, ...reached].map(({ rates }, position) => ({
    inputTokens: reached[position]?.aboveInputTokens ?? inputTokens,
    inputRate: Math.max(rates.input, rates.cachedInput, rates.cacheWrite),
    outputRate: Math.max(rates.output, rates.reasoning),
  }));
};

/**
 * Micro-USD that no call with at most so many tokens in and out can exceed, whatever its tokens turn out to be.
 * `overflow` as in {@link costMicros}.
 */
export const worstCaseMicros = (
  price: Price,
  { inputTokens, maxOutputTokens }: { inputTokens: number; maxOutputTokens: number },
): number | "overflow" => {
  assertCount(inputTokens, "`inputTokens`");
  assertCount(maxOutputTokens, "`maxOutputTokens`");
  let worst = 0;
  for (const tier of worstByTier(price, inputTokens)) {
    const micros = microsOf(
      [
        [tier.inputTokens, tier.inputRate],
        [maxOutputTokens, tier.outputRate],
      ],
      price.requestMicros,
    );
    if (micros === "overflow") return micros;
    worst = Math.max(worst, micros);
  }
  return worst;
};

/**
 * The greatest number of output tokens whose worst case fits into `micros` micro-USD; 2^53 − 1 where output costs
 * nothing; `undefined` where not even the input fits. `micros` may be negative (an overdrawn account). The model's
 * own `maxOutputTokens` is not looked at.
 */
export const affordableOutputTokens = (
  price: Price,
  { inputTokens, micros }: { inputTokens: number; micros: number },
): number | undefined => {
  assertCount(inputTokens, "`inputTokens`");
  assert(Number.isSafeInteger(micros), "`micros` was to be a safe integer");
  let affordable = microsMax;
  for (const tier of worstByTier(price, inputTokens)) {
    const room =
      (BigInt(micros) - BigInt(price.requestMicros)) * perMillion -
      BigInt(tier.inputTokens) * BigInt(tier.inputRate);
    if (room < 0n) return undefined;
    if (tier.outputRate === 0) continue;
    const tokens = room / BigInt(tier.outputRate);
    if (tokens < affordable) affordable = tokens;
  }
  return Number(affordable);
};
