/** What facts share is said once in their text, and nothing of them is lost. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Touch } from "../budget/budget.ts";
import { factsText, readFacts } from "./facts-text.ts";
import type { Facts } from "./question.ts";

const touch: fc.Arbitrary<Touch> = fc.record(
  {
    budget: fc.constantFrom("a", "b", "c"),
    unit: fc.constantFrom("usd_micros", "tokens"),
    mode: fc.constantFrom("hard" as const, "soft" as const),
    limit: fc.constantFrom(0, 100),
    per: fc.constantFrom<string[][]>(["agent"], ["run"], []),
    values: fc.constantFrom<string[][][]>([["x"]], [["x", "y"]], []),
    amount: fc.constantFrom(0, 7),
    as: fc.constantFrom("use" as const, "hold" as const),
    onLapse: fc.constantFrom("charge" as const, "release" as const),
    start: fc.constantFrom(0, 60),
    countedFrom: fc.constantFrom(0, 60),
    resetsAt: fc.constantFrom(90, 120),
    spanMicros: fc.constant(60),
    alerts: fc.constantFrom<number[][]>([], [50], [50, 80]),
  },
  {
    requiredKeys: [
      "budget",
      "unit",
      "mode",
      "limit",
      "per",
      "values",
      "amount",
      "as",
      "onLapse",
      "start",
      "countedFrom",
      "alerts",
    ],
  },
);

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only the demand matters here
const factsWith = (touches: Touch[]): Facts =>
  ({
    id: "f",
    demand: { touches, amounts: {}, estimated: true, holds: true, holdTtlMs: 1 },
  }) as unknown as Facts;

test("facts are what their text says, whatever their budgets have in common", () => {
  fc.assert(
    fc.property(fc.array(touch, { maxLength: 4 }), (touches) => {
      const facts = factsWith(touches);
      expect(readFacts(factsText(facts))).toEqual(facts);
      // Texts of earlier versions share nothing.
      expect(readFacts(JSON.stringify(facts))).toEqual(facts);
    }),
  );
});

test("what budgets have in common is in the text once", () => {
  const one = fc.sample(touch, { numRuns: 1, seed: 1 })[0]!;
  const text = factsText(factsWith([one, { ...one, budget: "other" }]));
  expect(text.split('"onLapse"')).toHaveLength(2);
});
