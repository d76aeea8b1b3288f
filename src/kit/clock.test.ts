/** The clock that counts may be another machine's; it never runs backwards either way. */
import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";

test("a clock that is ahead or behind is followed, and no reading is below an earlier one", () => {
  let skew = 0;
  const clock = systemClock(() => skew);
  const first = clock();
  skew = 5_000_000;
  const ahead = clock();
  expect(ahead - first).toBeGreaterThanOrEqual(5_000_000);
  skew = -5_000_000;
  expect(clock()).toBe(ahead);
});
