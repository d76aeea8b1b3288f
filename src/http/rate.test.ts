/** How often callers may ask, with a clock of the test's own. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Caller } from "../identity/caller.ts";
import { Problem } from "../kit/problem.ts";
import { createRates } from "./rate.ts";

const caller = (name: string, rate?: Caller["rate"]): Caller => ({
  name,
  scopes: ["evaluate"],
  detail: "plain",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
  ...(rate ? { rate } : {}),
});

const refusalOf = (act: () => void): Problem | undefined => {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
};

test("a burst passes, then one for each interval, and the refusal says when", () => {
  let now = 0;
  const rates = createRates(undefined, () => now);
  const gateway = caller("gateway", { perSecond: 0.5, burst: 2 });
  expect([1, 2, 3].map(() => refusalOf(() => rates.take(gateway))?.code)).toEqual([
    undefined,
    undefined,
    "rate_limited",
  ]);
  expect(refusalOf(() => rates.take(gateway))?.retryAfterSeconds).toBe(2);
  now = 1999;
  expect(refusalOf(() => rates.take(gateway))?.retryAfterSeconds).toBe(1);
  now = 2000;
  expect(refusalOf(() => rates.take(gateway))).toBeUndefined();
});

test("callers don't use up each other's, and those without a rate have the usual one", () => {
  const rates = createRates({ perSecond: 1, burst: 1 }, () => 0);
  rates.take(caller("a"));
  expect(refusalOf(() => rates.take(caller("a")))?.code).toBe("rate_limited");
  expect(refusalOf(() => rates.take(caller("b")))).toBeUndefined();
  const unbounded = createRates(undefined, () => 0);
  expect(
    Array.from({ length: 1000 }, () => refusalOf(() => unbounded.take(caller("a")))).filter(Boolean),
  ).toEqual([]);
});

test("a batch is paid for by those who ask next", () => {
  let now = 0;
  const rates = createRates({ perSecond: 10, burst: 5 }, () => now);
  rates.take(caller("a"));
  rates.charge(caller("a"), 99);
  expect(refusalOf(() => rates.take(caller("a")))?.retryAfterSeconds).toBe(10);
  now = 9500;
  expect(refusalOf(() => rates.take(caller("a")))?.code).toBe("rate_limited");
  now = 9600;
  expect(refusalOf(() => rates.take(caller("a")))).toBeUndefined();
});

test("over any time no more pass than the burst and what was filled in", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(2000), { maxLength: 300 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      (gaps, perSecond, burst) => {
        let now = 0;
        let passed = 0;
        const rates = createRates({ perSecond, burst }, () => now);
        for (const gap of gaps) {
          now += gap;
          if (refusalOf(() => rates.take(caller("a"))) === undefined) passed++;
        }
        expect(passed).toBeLessThanOrEqual(burst + (now / 1000) * perSecond + 1e-6);
      },
    ),
  );
});
