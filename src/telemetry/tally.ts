/**
 * Counts and histograms that cost tens of nanoseconds to add to, where prom-client's own hash their labels each time. They
 * are written out when they are asked for.
 */
import type { Counter, Registry } from "prom-client";

/** How a metric is described; `labels` are the names of its labels. */
export type Described = { name: string; help: string; labels?: readonly string[] };

type Line = { metricName?: string; labels: Record<string, string | number>; value: number };

/** Shows lines whenever the registry is read. */
const show = (
  registry: Registry,
  { name, help }: Described,
  type: "counter" | "histogram" | "gauge",
  lines: () => Line[],
): void => {
  const metric: unknown = { name, get: () => ({ name, help, type, values: lines(), aggregator: "sum" }) };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a registry asks no more of a metric than its name and `get`
  registry.registerMetric(metric as Counter);
};

/** Parts the values of labels in a key; none of them holds it. */
const between = "\n";

/** A counter by labels: give their values in order. All values must come from closed lists. */
export const countBy = (
  registry: Registry,
  described: Described,
): ((values: readonly string[], by?: number) => void) => {
  const counts = new Map<string, number>();
  const names = described.labels ?? [];
  const labelsOf = (key: string): Record<string, string> => {
    const values = key.split(between);
    return Object.fromEntries(names.map((name, position) => [name, values[position] ?? ""]));
  };
  if (names.length === 0) counts.set("", 0);
  show(registry, described, "counter", () =>
    [...counts].map(([key, value]) => ({ labels: names.length === 0 ? {} : labelsOf(key), value })),
  );
  return (values, by = 1) => {
    const key = values.join(between);
    counts.set(key, (counts.get(key) ?? 0) + by);
  };
};

type Tally = { counts: number[]; sum: number };

/** Cumulative buckets, as Prometheus wants them. */
const linesOf = (
  name: string,
  labels: Record<string, string>,
  { counts, sum }: Tally,
  bounds: readonly number[],
): Line[] => {
  let below = 0;
  const buckets = counts.map((count, position): Line => {
    below += count;
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bounds[position] ?? "+Inf" },
      value: below,
    };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: below },
  ];
};

/** A histogram for each value of one label; `bounds` ascend. */
export const histogramBy = <Value extends string>(
  registry: Registry,
  described: Described & { bounds: readonly number[]; values: readonly Value[] },
): ((value: Value, amount: number) => void) => {
  const { name, bounds, values, labels: [label = ""] = [] } = described;
  const empty = (): Tally => ({ counts: Array.from({ length: bounds.length + 1 }, () => 0), sum: 0 });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it holds every value
  const tallies = Object.fromEntries(values.map((value) => [value, empty()])) as Record<Value, Tally>;
  show(registry, described, "histogram", () =>
    values.flatMap((value) => linesOf(name, label === "" ? {} : { [label]: value }, tallies[value], bounds)),
  );
  return (value, amount) => {
    const tally = tallies[value];
    let position = 0;
    while (position < bounds.length && amount > bounds[position]!) position++;
    tally.counts[position]!++;
    tally.sum += amount;
  };
};

/**
 * A gauge by labels whose values are set as a whole: what is no longer there is no longer shown. `type` is `counter` where
 * someone else counts.
 */
export const gaugeBy = (
  registry: Registry,
  described: Described,
  type: "gauge" | "counter" = "gauge",
): ((lines: readonly { labels?: Record<string, string>; value: number }[]) => void) => {
  let shown: Line[] = [];
  show(registry, described, type, () => shown);
  return (lines) => {
    shown = lines.map(({ labels = {}, value }) => ({ labels, value }));
  };
};
