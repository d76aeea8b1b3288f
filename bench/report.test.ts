/** The report says what was measured: it is drawn from the results beside it, and nothing is written by hand. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { mediansOf, reportFiles, type Results, type Sample, workloadRows } from "./results.ts";

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const sample = (name: string, requestsPerSecond: number): Sample => ({
  name,
  workload: "batch of 50",
  decisions: 50,
  requestsPerSecond,
  p50Ms: 1,
  p99Ms: 2,
  cpuMicros: 500,
});

const results: Results = {
  machine: "1 × test",
  node: "v20",
  commit: "0000000",
  seconds: 1,
  rounds: 3,
  loads: [0, 1],
  samples: [
    sample("Remit <ours>", 10),
    sample("Remit <ours>", 30),
    sample("Remit <ours>", 20),
    sample("peer", 5),
  ],
};

test("figures are medians, and of a batch those of one decision", () => {
  expect(mediansOf(results, "Remit <ours>", "batch of 50")).toMatchObject({
    decisionsPerSecond: 1000,
    spread: 1,
    cpuMicros: 10,
  });
  expect(workloadRows(results, "batch of 50").map(([name]) => name)).toEqual(["", "Remit <ours>", "peer"]);
});

test("what is drawn replaces what was, and names can't break a chart", () => {
  const readme =
    "# kept\n<!-- drawn by `npm run bench:report` -->old<!-- end of what is drawn -->\nkept too\n";
  const files = reportFiles(results, readme);
  const text = files.get("README.md")!;
  expect(text).toMatch(/^# kept\n/);
  expect(text).toMatch(/\nkept too\n$/);
  expect(text).not.toContain("old");
  expect(text).toMatch(/^\| peer +\| +250 \|/m);
  const chart = files.get("results/batch-of-50.svg")!;
  expect(chart).toContain("Remit &lt;ours&gt;");
  expect(chart).toMatch(/width="420" height="18"[^>]*fill="#2f7ed8"/);
  expect(chart).toMatch(/width="105" height="18"[^>]*fill="#9aa4b0"/);
  expect(() => reportFiles(results, "nothing to draw in")).toThrow("the README lacks");
});

test("the README and its charts are those of the results beside them", () => {
  const measured = JSON.parse(readFileSync(file("results/compare.json"), "utf8")) as Results;
  const drawn = reportFiles(measured, readFileSync(file("README.md"), "utf8"));
  const kept = [...drawn.keys()].map((name) => [name, readFileSync(file(name), "utf8")]);
  expect(kept).toEqual([...drawn]);
});
