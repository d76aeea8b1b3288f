/** Money is exact: costs against a reference in rational arithmetic, worst cases against the calls they bound. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bug } from "../kit/assert.ts";
import {
  affordableOutputTokens,
  costMicros,
  type Price,
  priceAt,
  type PriceCatalogue,
  type Rates,
  type TokenUsage,
  worstCaseMicros,
} from "./prices.ts";

const rates = (input: number, output: number, rest: Partial<Rates> = {}): Rates => ({
  input,
  cachedInput: input,
  cacheWrite: input,
  output,
  reasoning: output,
  ...rest,
});

const price = (rest: Partial<Price> = {}): Price => ({
  model: "m",
  rates: rates(3_000_000, 15_000_000),
  requestMicros: 0,
  tiers: [],
  ...rest,
});

const usage = (rest: Partial<TokenUsage>): TokenUsage => ({
  inputUncached: 0,
  cachedInput: 0,
  cacheWrite: 0,
  output: 0,
  reasoning: 0,
  ...rest,
});

const anyRate = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1_000_000_000 }));
const anyRates: fc.Arbitrary<Rates> = fc.record({
  input: anyRate,
  cachedInput: anyRate,
  cacheWrite: anyRate,
  output: anyRate,
  reasoning: anyRate,
});
const anyTokens = fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 3_000_000 }));

/** Tiers may also become cheaper: volume discounts. */
const anyPrice: fc.Arbitrary<Price> = fc
  .record({
    rates: anyRates,
    requestMicros: fc.integer({ min: 0, max: 50_000 }),
    thresholds: fc.uniqueArray(
      fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 3_000_000 })),
      {
        maxLength: 3,
      },
    ),
    tierRates: fc.tuple(anyRates, anyRates, anyRates),
  })
  .map(({ rates, requestMicros, thresholds, tierRates }) =>
    price({
      rates,
      requestMicros,
      tiers: thresholds
        .sort((a, b) => a - b)
        .map((aboveInputTokens, position) => ({ aboveInputTokens, rates: tierRates[position]! })),
    }),
  );

const anyUsage: fc.Arbitrary<TokenUsage> = fc
  .tuple(anyTokens, anyTokens, anyTokens, anyTokens, fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([inputUncached, cachedInput, cacheWrite, output, share]) => ({
    inputUncached,
    cachedInput,
    cacheWrite,
    output,
    reasoning: Math.floor(output * share),
  }));

/** Cost in millionths of a micro-USD: exact, nothing rounded. */
const exactCost = (price: Price, usage: TokenUsage): bigint => {
  const input = usage.inputUncached + usage.cachedInput + usage.cacheWrite;
  let at = price.rates;
  for (const tier of price.tiers) if (input > tier.aboveInputTokens) at = tier.rates;
  return (
    BigInt(price.requestMicros) * 1_000_000n +
    BigInt(usage.inputUncached) * BigInt(at.input) +
    BigInt(usage.cachedInput) * BigInt(at.cachedInput) +
    BigInt(usage.cacheWrite) * BigInt(at.cacheWrite) +
    BigInt(usage.output - usage.reasoning) * BigInt(at.output) +
    BigInt(usage.reasoning) * BigInt(at.reasoning)
  );
};

describe("cost", () => {
  test("F10: a call costs its exact amount, rounded up once, whatever its tokens and prices", () => {
    fc.assert(
      fc.property(anyPrice, anyUsage, (price, usage) => {
        const exact = exactCost(price, usage);
        const cost = costMicros(price, usage);
        if (cost === "overflow") throw new Error("no such price and usage can overflow");
        const excess = BigInt(cost) * 1_000_000n - exact;
        expect(excess >= 0n && excess < 1_000_000n).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("F10: costs of many calls add up to the exact sum and less than one micro-USD for each call", () => {
    fc.assert(
      fc.property(anyPrice, fc.array(anyUsage, { minLength: 1, maxLength: 50 }), (price, usages) => {
        let sum = 0n;
        let exact = 0n;
        for (const usage of usages) {
          const cost = costMicros(price, usage);
          sum += BigInt(cost === "overflow" ? -1 : cost);
          exact += exactCost(price, usage);
        }
        const excess = sum * 1_000_000n - exact;
        expect(excess >= 0n && excess < BigInt(usages.length) * 1_000_000n).toBe(true);
      }),
    );
  });

  test.each([
    ["nothing", {}, 0],
    ["one token in", { inputUncached: 1 }, 1],
    ["what makes up one micro-USD exactly", { inputUncached: 1_000_000 }, 1],
    ["one token more than that", { inputUncached: 1_000_001 }, 2],
    [
      "a token of each of four kinds: rounded once, not four times",
      { inputUncached: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
      1,
    ],
  ])("F10: at one micro-USD per million tokens, %s costs what it must", (_what, tokens, wanted) => {
    expect(costMicros(price({ rates: rates(1, 1) }), usage(tokens))).toBe(wanted);
  });

  test("F10: products beyond what a double can hold stay exact", () => {
    // In doubles the product loses its last digits, and the cost is one micro-USD short.
    const tokens = 9_007_199_254_740_989;
    const exact = Number((BigInt(tokens) * 999_999n + 999_999n) / 1_000_000n);
    expect(Math.ceil((tokens * 999_999) / 1_000_000)).not.toBe(exact);
    expect(costMicros(price({ rates: rates(999_999, 1) }), usage({ inputUncached: tokens }))).toBe(exact);
    expect(costMicros(price({ rates: rates(1_000_000, 1) }), usage({ inputUncached: 2 ** 53 - 1 }))).toBe(
      2 ** 53 - 1,
    );
  });

  test("F10: a cost beyond the safe integers is told, not rounded", () => {
    const most = usage({ inputUncached: 2 ** 53 - 1 });
    expect(costMicros(price({ rates: rates(1_000_001, 0) }), most)).toBe("overflow");
    expect(costMicros(price({ rates: rates(1_000_000, 0), requestMicros: 1 }), most)).toBe("overflow");
  });

  test.each([
    ["a fraction", { output: 0.5 }],
    ["a negative count", { cachedInput: -1 }],
    ["an unsafe integer", { inputUncached: 2 ** 53 }],
    ["more reasoning than output", { output: 1, reasoning: 2 }],
  ])("%s of tokens is a bug", (_what, tokens) => {
    expect(() => costMicros(price(), usage(tokens))).toThrow(Bug);
  });

  test("F13: each kind has its own price, and reasoning is not charged as output too", () => {
    const all = price({
      rates: {
        input: 3_000_000,
        cachedInput: 300_000,
        cacheWrite: 3_750_000,
        output: 15_000_000,
        reasoning: 20_000_000,
      },
    });
    const million = (rest: Partial<TokenUsage>): unknown => costMicros(all, usage(rest));
    expect(million({ inputUncached: 1_000_000 })).toBe(3_000_000);
    expect(million({ cachedInput: 1_000_000 })).toBe(300_000);
    expect(million({ cacheWrite: 1_000_000 })).toBe(3_750_000);
    expect(million({ output: 1_000_000 })).toBe(15_000_000);
    expect(million({ output: 1_000_000, reasoning: 400_000 })).toBe(9_000_000 + 8_000_000);
  });

  test("F13: a price per request is charged for a call without tokens", () => {
    expect(costMicros(price({ rates: rates(0, 0), requestMicros: 35_000 }), usage({}))).toBe(35_000);
  });
});

describe("tiers", () => {
  const tiered = price({
    rates: rates(1_000_000, 2_000_000),
    tiers: [
      { aboveInputTokens: 100, rates: rates(10_000_000, 20_000_000) },
      { aboveInputTokens: 200, rates: rates(100_000_000, 200_000_000) },
    ],
  });

  test.each([
    [0, 2],
    [99, 99 + 2],
    [100, 100 + 2],
    [101, 1010 + 20],
    [200, 2000 + 20],
    [201, 20_100 + 200],
  ])(
    "F13: with %i tokens in and one out, the whole call costs %i, and so does the worst case",
    (input, wanted) => {
      expect(costMicros(tiered, usage({ inputUncached: input, output: 1 }))).toBe(wanted);
      expect(worstCaseMicros(tiered, { inputTokens: input, maxOutputTokens: 1 })).toBe(wanted);
    },
  );

  test.each(["inputUncached", "cachedInput", "cacheWrite"] as const)(
    "F13: %s tokens count towards the threshold",
    (kind) => {
      expect(costMicros(tiered, usage({ inputUncached: 100, [kind]: 101 }))).toBe(
        kind === "inputUncached" ? 1010 : 20_100,
      );
    },
  );

  test("F13: where a higher tier is cheaper, the worst case is the dearest shorter call", () => {
    const discount = price({
      rates: rates(10_000_000, 10_000_000),
      tiers: [{ aboveInputTokens: 100, rates: rates(1_000_000, 1_000_000) }],
    });
    expect(costMicros(discount, usage({ inputUncached: 101 }))).toBe(101);
    expect(worstCaseMicros(discount, { inputTokens: 101, maxOutputTokens: 0 })).toBe(1000);
  });
});

describe("the worst case", () => {
  test("F13: is never exceeded by a call within its bounds", () => {
    fc.assert(
      fc.property(anyPrice, anyUsage, anyTokens, anyTokens, (price, usage, spareIn, spareOut) => {
        const worst = worstCaseMicros(price, {
          inputTokens: usage.inputUncached + usage.cachedInput + usage.cacheWrite + spareIn,
          maxOutputTokens: usage.output + spareOut,
        });
        const cost = costMicros(price, usage);
        expect(worst !== "overflow" && cost !== "overflow" && cost <= worst).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("F13: takes writing to a cache and reasoning where these are dearer", () => {
    const dear = price({
      rates: rates(1_000_000, 2_000_000, { cacheWrite: 1_250_000, reasoning: 3_000_000 }),
    });
    expect(worstCaseMicros(dear, { inputTokens: 100, maxOutputTokens: 10 })).toBe(125 + 30);
  });

  test("beyond the safe integers is told, not rounded", () => {
    expect(worstCaseMicros(price(), { inputTokens: 2 ** 53 - 1, maxOutputTokens: 0 })).toBe("overflow");
  });
});

describe("affordable output", () => {
  test("F10: is the greatest whose worst case fits", () => {
    fc.assert(
      fc.property(
        anyPrice,
        anyTokens,
        fc.integer({ min: -10, max: 100_000_000 }),
        (price, inputTokens, micros) => {
          const worst = (maxOutputTokens: number): number => {
            const found = worstCaseMicros(price, { inputTokens, maxOutputTokens });
            return found === "overflow" ? Infinity : found;
          };
          const most = affordableOutputTokens(price, { inputTokens, micros });
          if (most === undefined) expect(worst(0)).toBeGreaterThan(micros);
          else {
            expect(worst(most)).toBeLessThanOrEqual(micros);
            if (most < Number.MAX_SAFE_INTEGER) expect(worst(most + 1)).toBeGreaterThan(micros);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test.each([
    [9, undefined],
    [10, 0],
    [11, 0],
    [12, 1],
    [-1, undefined],
  ])("with %i micro-USD, ten for the input and two for a token, is %s", (micros, wanted) => {
    const plain = price({ rates: rates(1_000_000, 2_000_000) });
    expect(affordableOutputTokens(plain, { inputTokens: 10, micros })).toBe(wanted);
  });

  test("is without limit where output costs nothing", () => {
    expect(affordableOutputTokens(price({ rates: rates(1, 0) }), { inputTokens: 1, micros: 1 })).toBe(
      2 ** 53 - 1,
    );
  });
});

describe("the price of a model", () => {
  const row = (input: number, rest: Partial<Price> = {}): Price =>
    price({ rates: rates(input, input), ...rest });
  const catalogue: PriceCatalogue = {
    version: "sha256:0",
    models: new Map([
      // Not in order of time, which must not matter.
      [
        "m",
        [
          row(3, { provider: "p", effectiveFrom: 200 }),
          row(1, { provider: "p" }),
          row(2, { provider: "p", effectiveFrom: 100 }),
        ],
      ],
      ["later", [row(1, { effectiveFrom: 100 })]],
      ["shared", [row(1, { provider: "p" }), row(9, { provider: "q", effectiveFrom: 100 })]],
      ["general", [row(1), row(5, { provider: "p", effectiveFrom: 100 })]],
    ]),
  };
  const inputRate = (model: string, provider: string | undefined, at: number): number | undefined =>
    priceAt(catalogue, provider === undefined ? { model } : { model, provider }, at)?.rates.input;

  test.each([
    [-1, 1],
    [99, 1],
    [100, 2],
    [199, 2],
    [200, 3],
    [10 ** 15, 3],
  ])("F13: at %i is that of the newest row in force", (at, wanted) => {
    expect(inputRate("m", "p", at)).toBe(wanted);
    expect(inputRate("m", undefined, at)).toBe(wanted);
  });

  test("F13: doesn't exist for an unknown model, another provider, or before its first row", () => {
    expect(inputRate("constructor", undefined, 1)).toBeUndefined();
    expect(inputRate("m", "q", 1)).toBeUndefined();
    expect(inputRate("later", undefined, 99)).toBeUndefined();
    expect(inputRate("later", undefined, 100)).toBe(1);
  });

  test("F13: of a name that two providers carry needs the provider, even before the second one's first row", () => {
    expect(inputRate("shared", undefined, 0)).toBeUndefined();
    expect(inputRate("shared", undefined, 100)).toBeUndefined();
    expect(inputRate("shared", "p", 100)).toBe(1);
    expect(inputRate("shared", "q", 100)).toBe(9);
    expect(inputRate("shared", "q", 99)).toBeUndefined();
  });

  test("comes from a row without provider where the provider has none of its own in force", () => {
    expect(inputRate("general", "q", 100)).toBe(1);
    expect(inputRate("general", "p", 99)).toBe(1);
    expect(inputRate("general", "p", 100)).toBe(5);
    expect(inputRate("general", undefined, 100)).toBeUndefined();
  });

  test("crosses threads as it is", () => {
    expect(structuredClone(catalogue)).toEqual(catalogue);
  });
});
