/** Burn rates: two spans must agree before a person is woken. */
import { describe, expect, test } from "vitest";
import { burnRules, burns, exhaustionAt, spanOf } from "./burn.ts";

const minute = 60_000_000;
const day = 24 * 60 * minute;

describe("the rules of a day", () => {
  const [fast, slow] = burnRules(day);

  test("look at a tenth within 15 minutes, and at a quarter within 2 hours", () => {
    expect([fast!.longMicros / minute, fast!.percent]).toEqual([15, 10]);
    expect([slow!.longMicros / minute, slow!.percent]).toEqual([120, 25]);
  });

  test.each([
    ["a tenth lately and still going on", 500_000, 100_000, true],
    ["a tenth, but over by now", 500_000, 0, false],
    ["less than a tenth", 499_999, 499_999, false],
  ])("%s", (_what, long, short, wanted) => {
    expect(burns(fast!, 5_000_000, { long, short })).toBe(wanted);
  });

  test("an account without a limit never burns", () => {
    expect(burns(fast!, 0, { long: 1, short: 1 })).toBe(false);
  });

  test("the exhaustion is told from the rate of the long span", () => {
    expect(exhaustionAt(0, fast!, 500_000, 4_500_000)).toBe(9 * 15 * minute);
  });
});

test("short windows and lifetimes have no rate to tell of", () => {
  expect(burnRules(60 * minute)).toEqual([]);
  expect(spanOf({ kind: "lifetime" }, 0)).toBeUndefined();
  expect(spanOf({ kind: "calendar", every: "day", zone: "UTC", weekStart: 1 }, day)).toBe(day);
  expect(spanOf({ kind: "rolling", lengthMs: 3_600_000, buckets: 60 }, day)).toBe(60 * minute);
});
