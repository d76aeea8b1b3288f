/** The replay's short form; the long one is `npm run bench:replay -- --decisions 100000`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { replay } from "./replayed.ts";

const decisions = 2000;

test("every recorded decision is reproduced under the policies of then", { timeout: 120_000 }, async () => {
  const { judged, different, permits } = await replay(decisions);
  expect({ judged, different }).toEqual({ judged: decisions, different: 0 });
  expect(permits).toBeGreaterThan(decisions / 10);
  expect(permits).toBeLessThan(decisions / 2);
});

test("a replay under other policies tells what they decide otherwise", { timeout: 120_000 }, async () => {
  const { different } = await replay(500, (policies) => {
    const file = join(policies, "models.cedar");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("permit (", "forbid ("));
  });
  expect(different).toBeGreaterThan(20);
});
