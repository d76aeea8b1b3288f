/** The compiled engine is Cedar's equal in random cases, the same ones each time; `npm run fuzz` runs others. */
import { expect, test } from "vitest";
import { fuzz } from "./differential.ts";

const firstSeed = 1;

test(
  "in 50,000 random cases, a third of them allowed, a third denied, some with errors, it says what Cedar says",
  { timeout: 300_000 },
  () => {
    const found = fuzz(firstSeed, 50_000);
    expect(found.differences).toEqual([]);
    expect(found.cases).toBeGreaterThanOrEqual(50_000);
    expect(found.allow / found.cases).toBeGreaterThan(1 / 3);
    expect(found.deny / found.cases).toBeGreaterThan(1 / 3);
    expect(found.errors / found.cases).toBeGreaterThan(1 / 10);
    expect(found.errors / found.cases).toBeLessThan(1 / 3);
    // What is left to Cedar proves nothing.
    expect(found.left / found.cases).toBeLessThan(1 / 100);
  },
);
