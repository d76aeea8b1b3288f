/** The clock that counts may be another machine's; it never runs backwards either way. */
import { expect, test } from "vitest";
import { forwardClock, steadyMicros } from "./clock.ts";

test("a clock that is ahead or behind is followed, and no reading is below an earlier one", () => {
  let ahead = 0;
  const clock = forwardClock(() => steadyMicros() + ahead);
  const first = clock();
  ahead = 5_000_000;
  const later = clock();
  expect(later - first).toBeGreaterThanOrEqual(5_000_000);
  ahead = -5_000_000;
  expect(clock()).toBe(later);
});
