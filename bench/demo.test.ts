/** The demonstration's short form; the long one is `npm run demo`. */
import { expect, test } from "vitest";
import { demonstrate } from "./demonstration.ts";

test(
  "a looping agent, and many copies of it, stop at the budget, and everything that the demonstration claims holds",
  { timeout: 90_000 },
  async () => {
    const lines: string[] = [];
    const claims = await demonstrate({
      budgetMicros: 1_000_000,
      copies: 8,
      print: (line) => lines.push(line),
    });
    expect(claims.filter(({ holds }) => !holds)).toEqual([]);
    expect(claims).toHaveLength(10);
    expect(lines.join("\n")).toMatch(/denied, and not sent: .*exhausted/);
  },
);
