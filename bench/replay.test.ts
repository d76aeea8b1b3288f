/** The replay's short form; the long one is `npm run bench:replay -- --decisions 100000`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { replay } from "./replayed.ts";

const decisions = 2000;

test(
  "every recorded decision is reproduced under the policies of then, whatever it was decided by",
  { timeout: 240_000 },
  async () => {
    const { judged, repeated, different, reasons } = await replay(decisions);
    expect(different).toBe(0);
    expect(judged + repeated).toBeGreaterThanOrEqual(decisions);
    expect(repeated).toBeGreaterThan(20);
    expect(Object.keys(reasons)).toEqual(
      expect.arrayContaining([
        "policy_permit",
        "policy_forbid",
        "no_permit",
        "delegation_denied",
        "agent_suspended",
        "unknown_entity",
        "budget_exhausted",
        "loop_detected",
        "all_or_nothing",
      ]),
    );
  },
);

test("a replay under other policies tells what they decide otherwise", { timeout: 240_000 }, async () => {
  const { different } = await replay(500, (policies) => {
    const file = join(policies, "models.cedar");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("permit (", "forbid ("));
  });
  expect(different).toBeGreaterThan(20);
});
