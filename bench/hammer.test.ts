/** The hammer's short form; the long one is `npm run hammer -- --cycles 200`. */
import { expect, test } from "vitest";
import { hammer } from "./hammer-cycles.ts";

test(
  "killed again and again under concurrent callers, the service overspends nothing, leaks nothing and forgets no permit",
  { timeout: 90_000 },
  async () => {
    const summary = await hammer({ cycles: 6, callers: 32, answers: [40, 120] });
    expect(summary.faults).toEqual([]);
    expect(summary.permits).toBeGreaterThan(50);
    expect(summary.settled).toBeGreaterThan(20);
    expect(summary.retries).toBeGreaterThan(5);
    expect(summary.lapsed).toBeGreaterThan(0);
  },
);
