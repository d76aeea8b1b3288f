/** Counts and histograms as Prometheus reads them: beside prom-client's own, on the same values. */
import fc from "fast-check";
import { Counter, Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";
import { countBy, gaugeBy, histogramBy } from "./tally.ts";

const help = "what it is";

test("a histogram is written as prom-client writes its own", async () => {
  const bounds = [0.1, 1, 10];
  const values = ["a", "b"] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...values), fc.constantFrom(0, 0.05, 0.1, 0.5, 1, 10, 11, 1000))),
      async (observed) => {
        const [ours, theirs] = [new Registry(), new Registry()];
        const observe = histogramBy(ours, { name: "h", help, labels: ["kind"], bounds, values });
        const histogram = new Histogram({
          name: "h",
          help,
          labelNames: ["kind"],
          buckets: [...bounds],
          registers: [theirs],
        });
        for (const kind of values) histogram.zero({ kind });
        for (const [kind, value] of observed) {
          observe(kind, value);
          histogram.observe({ kind }, value);
        }
        // The order of labels within a line means nothing.
        const lines = (text: string): string[] =>
          text.replaceAll(/\{le="(\S+?)",kind="(\w)"\}/g, '{kind="$2",le="$1"}').split("\n");
        expect(lines(await ours.metrics())).toEqual(lines(await theirs.metrics()));
      },
    ),
  );
});

test("a counter is written as prom-client writes its own", async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const count = countBy(ours, { name: "c_total", help, labels: ["a", "b"] });
  const counter = new Counter({ name: "c_total", help, labelNames: ["a", "b"], registers: [theirs] });
  for (const [a, b] of [
    ["x", "y"],
    ["x", "z"],
    ["x", "y"],
    ["", "y"],
  ] as const) {
    count([a, b]);
    counter.inc({ a, b });
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test("a counter without labels is there from the start", async () => {
  const registry = new Registry();
  const count = countBy(registry, { name: "c_total", help });
  expect(await registry.metrics()).toContain("\nc_total 0\n");
  count([]);
  expect(await registry.metrics()).toContain("\nc_total 1\n");
});

test("a gauge forgets what is no longer there", async () => {
  const registry = new Registry();
  const set = gaugeBy(registry, { name: "g", help });
  set([{ labels: { sink: "old" }, value: 1 }]);
  set([{ labels: { sink: "new" }, value: 2 }]);
  const text = await registry.metrics();
  expect(text).toContain('g{sink="new"} 2');
  expect(text).not.toContain("old");
});
