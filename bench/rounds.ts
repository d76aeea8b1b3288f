/**
 * Samples that can be compared: in every round fresh servers of all variants side by side, loaded one right after the
 * other, so that a slow minute of the machine hits all; the order turns around from round to round.
 */
import { statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { measure, type Measurement, type Question } from "./load.ts";
import type { ServerProcess } from "./server-process.ts";
import { figure, median } from "./statistics.ts";

/** One line of the comparison: a question, and how many ask it at the same time. */
export type Row<V extends string> = { name: string; callers: number; question: (variant: V) => Question };

/** A server that is up, and how to be rid of it. */
export type Started = { server: ServerProcess; stop: () => Promise<void> };

export type Comparison<V extends string> = {
  variants: readonly V[];
  rows: readonly Row<V>[];
  warmUp: Row<V> & { seconds: number };
  start: (variant: V, parent: string) => Promise<Started>;
};

/** What all rounds measured of one variant in one row. */
export type Sampled = { medianOf: (name: keyof Measurement) => number };

export type Samples<V extends string> = (row: Row<V>, variant: V) => Sampled;

/** Starting and stopping one server, in seconds. */
const startSeconds = 2;

/** How long each load may take for all of them to fit. @throws Error where that is too short to tell anything */
const loadSeconds = <V extends string>(
  seconds: number,
  rounds: number,
  { variants, rows, warmUp }: Comparison<V>,
): number => {
  const starts = rounds * variants.length;
  const each = (seconds - starts * (warmUp.seconds + startSeconds)) / (starts * rows.length);
  if (each < 0.5) throw new Error("the time is too short for that many rounds");
  return each;
};

const startAll = async <V extends string>(
  { variants, start }: Comparison<V>,
  parent: string,
): Promise<Map<V, Started>> => {
  const started = new Map<V, Started>();
  try {
    for (const variant of variants) started.set(variant, await start(variant, parent));
    return started;
  } catch (error) {
    for (const { stop } of started.values()) await stop();
    throw error;
  }
};

/** Measures every variant in every row, in every round. */
export const sampleRounds = async <V extends string>(
  comparison: Comparison<V>,
  { rounds, seconds, parent }: { rounds: number; seconds: number; parent: string },
): Promise<Samples<V>> => {
  const { variants, rows, warmUp } = comparison;
  const found = new Map<string, Measurement[]>();
  const keyOf = (row: Row<V>, variant: V): string => `${variant} ${row.name} ${row.callers}`;
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? variants : [...variants].reverse();
    const started = await startAll(comparison, parent);
    try {
      for (const variant of order)
        await measure(started.get(variant)!.server, warmUp.question(variant), warmUp.callers, warmUp.seconds);
      for (const row of rows)
        for (const variant of order) {
          const { server } = started.get(variant)!;
          const measured = await measure(server, row.question(variant), row.callers, seconds);
          const key = keyOf(row, variant);
          found.set(key, [...(found.get(key) ?? []), measured]);
        }
    } finally {
      for (const { stop } of started.values()) await stop();
    }
  }
  return (row, variant) => ({
    medianOf: (name) => median((found.get(keyOf(row, variant)) ?? []).map((sample) => sample[name])),
  });
};

const measured = ["requestsPerSecond", "p50Ms", "p99Ms", "cpuMicros"] as const;
export const measuredHeads = ["requests/s", "p50 ms", "p99 ms", "server CPU µs/request"] as const;

/** The figures of one line of the table. */
export const figuresOf = ({ medianOf }: Sampled): string[] => measured.map((name) => figure(medianOf(name)));

const loadText = (): string =>
  loadavg()
    .map((load) => load.toFixed(2))
    .join(" ");

const tmpfsMagic = 0x01021994;

const numberOf = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not \`${text}\``);
  return value;
};

/** Samples as the command line says (`--seconds`, `--rounds`, `--data`), and tells what they were taken on. */
export const sampleAsAsked = async <V extends string>(
  comparison: Comparison<V>,
  defaults: { seconds: string; rounds: string },
): Promise<Samples<V>> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: defaults.seconds },
      rounds: { type: "string", default: defaults.rounds },
      data: { type: "string", default: tmpdir() },
    },
  });
  const rounds = Math.ceil(numberOf("rounds", values.rounds));
  const seconds = loadSeconds(numberOf("seconds", values.seconds), rounds, comparison);
  console.log(
    `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}; load before: ${loadText()}`,
  );
  if (statfsSync(values.data).type === tmpfsMagic)
    console.log(`the ledger is in memory: use --data for a folder on a disk, where a commit costs an fsync`);
  const samples = await sampleRounds(comparison, { rounds, seconds, parent: values.data });
  console.log(
    `medians of ${rounds} rounds of ${seconds.toFixed(1)} s, every answer checked; load after: ${loadText()}\n`,
  );
  return samples;
};
