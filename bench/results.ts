/** What `npm run bench` found: its shape, and the tables made of it. */
import type { Measurement } from "./load.ts";
import { barsSvg } from "./chart.ts";
import { figure, median, tableText } from "./statistics.ts";

export type Sample = Measurement & {
  name: string;
  workload: string;
  /** How many one request asks for. */
  decisions: number;
  /** From the start of its process to its first answer. */
  readyMs?: number;
  idleBytes?: number;
  loadedBytes?: number;
};

export type Results = {
  machine: string;
  node: string;
  commit: string;
  /** How long each sample took, and how many there are of each. */
  seconds: number;
  rounds: number;
  /** The machine's load before the first round and after each; the run itself makes about 2. */
  loads: number[];
  samples: Sample[];
};

/** The medians of one contestant at one workload. */
export type Medians = Record<
  "decisionsPerSecond" | "spread" | "p50Ms" | "p99Ms" | "cpuMicros" | "readyMs" | "idleBytes" | "loadedBytes",
  number
>;

const distinct = (values: readonly string[]): string[] => [...new Set(values)];

/** In the order in which they were first measured. */
export const workloadsOf = ({ samples }: Results): string[] =>
  distinct(samples.map(({ workload }) => workload));
export const namesOf = ({ samples }: Results): string[] => distinct(samples.map(({ name }) => name));

/** Nothing where that contestant wasn't asked that. Spread: the distance of the extremes, in parts of the median. */
export const mediansOf = (results: Results, name: string, workload: string): Medians | undefined => {
  const own = results.samples.filter((sample) => sample.name === name && sample.workload === workload);
  if (own.length === 0) return undefined;
  const of = (pick: (sample: Sample) => number | undefined): number =>
    median(own.map((sample) => pick(sample) ?? Number.NaN));
  const rates = own.map((sample) => sample.requestsPerSecond * sample.decisions);
  return {
    decisionsPerSecond: median(rates),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    p50Ms: of((sample) => sample.p50Ms),
    p99Ms: of((sample) => sample.p99Ms),
    cpuMicros: of((sample) => sample.cpuMicros / sample.decisions),
    readyMs: of((sample) => sample.readyMs),
    idleBytes: of((sample) => sample.idleBytes),
    loadedBytes: of((sample) => sample.loadedBytes),
  };
};

const megabytes = (bytes: number): string => figure(bytes / 1_000_000);

const head = ["", "decisions/s", "± %", "p50 ms", "p99 ms", "CPU µs/decision"];

/** The rows of one workload's table, its head first. */
export const workloadRows = (results: Results, workload: string): string[][] => [
  head,
  ...namesOf(results).flatMap((name) => {
    const medians = mediansOf(results, name, workload);
    if (medians === undefined) return [];
    const { decisionsPerSecond, spread, p50Ms, p99Ms, cpuMicros } = medians;
    return [
      [
        name,
        figure(decisionsPerSecond),
        figure((spread / 2) * 100),
        figure(p50Ms),
        figure(p99Ms),
        figure(cpuMicros),
      ],
    ];
  }),
];

/** Start-up and memory of everyone, as rows. */
export const processRows = (results: Results): string[][] => [
  ["", "ready ms", "idle MB", "after the load MB"],
  ...namesOf(results).map((name) => {
    const { readyMs, idleBytes, loadedBytes } = mediansOf(results, name, workloadsOf(results)[0]!)!;
    return [name, figure(readyMs), megabytes(idleBytes), megabytes(loadedBytes)];
  }),
];

/** On what, how long and under which load it was measured. */
export const circumstances = ({ machine, node, commit, seconds, rounds, loads }: Results): string =>
  `${machine}, Node ${node}, commit ${commit}; medians of ${rounds} rounds of ${seconds} s; load ${loads
    .map((load) => load.toFixed(1))
    .join(", ")}`;

/** All tables, for a terminal. */
export const comparisonText = (results: Results): string =>
  [
    circumstances(results),
    ...workloadsOf(results).map((workload) => `${workload}\n${tableText(workloadRows(results, workload))}`),
    `processes\n${tableText(processRows(results))}`,
  ].join("\n\n");

const lineOf = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** As the formatter would have it: the first column to the left, the others to the right. */
const markdownTable = (rows: readonly (readonly string[])[]): string => {
  const [head, ...body] = rows;
  const widths = head!.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)));
  const padded = (row: readonly string[]): string[] =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)));
  const rule = widths.map((width, at) => (at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [lineOf(padded(head!)), lineOf(rule), ...body.map((row) => lineOf(padded(row)))].join("\n");
};

const fileNameOf = (workload: string): string => `results/${workload.replaceAll(/[^a-z0-9]+/g, "-")}.svg`;

const chartOf = (results: Results, workload: string): string =>
  barsSvg(
    `${workload}: decisions per second`,
    namesOf(results).flatMap((name) => {
      const medians = mediansOf(results, name, workload);
      if (medians === undefined) return [];
      const { decisionsPerSecond: value } = medians;
      return [{ label: name, value, text: figure(value), own: name.startsWith("Remit") }];
    }),
  );

const begin = "<!-- drawn by `npm run bench:report` -->";
const end = "<!-- end of what is drawn -->";

/** The files of the report, by name: the README, all but its drawn part as it was, and the charts. */
export const reportFiles = (results: Results, readme: string): Map<string, string> => {
  const workloads = workloadsOf(results);
  const parts = [
    `${circumstances(results)}.`,
    ...workloads.map(
      (workload) =>
        `### ${workload}\n\n![${workload}](${fileNameOf(workload)})\n\n${markdownTable(workloadRows(results, workload))}`,
    ),
    `### Start-up and memory\n\n${markdownTable(processRows(results))}`,
  ];
  const [before, rest] = readme.split(begin);
  const [, after] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined)
    throw new Error(`the README lacks \`${begin}\` or \`${end}\``);
  return new Map([
    ["README.md", `${before}${begin}\n\n${parts.join("\n\n")}\n\n${end}${after}`],
    ...workloads.map((workload): [string, string] => [fileNameOf(workload), chartOf(results, workload)]),
  ]);
};
