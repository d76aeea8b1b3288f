/**
 * What one evaluation over HTTP costs, beside a bare Hono handler: `npm run bench:evaluate -- --seconds 50 --rounds 3`.
 * Rounds interleave the two and turn their order around, each with fresh processes, so that a slow minute of the machine
 * hits both; the table shows medians. Trust the ratios, not the figures: the load comes from the same machine.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measure, type Measurement, type Question } from "./load.ts";
import { startServer } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const connectionCounts = [1, 16, 64];
/** The first thousands of questions meet WebAssembly and JavaScript that isn't optimised yet: twice as slow. */
const warmUpSeconds = 3;
const warmUpConnections = 64;

const question: Question = {
  bodies: [
    JSON.stringify({
      subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
      action: { name: "read" },
      resource: { type: "Website", id: "https://www.acme.example" },
    }),
  ],
  isRight: (answer) => answer === JSON.stringify({ decision: true }),
};

const variants = {
  "bare Hono": () => ["--import", "tsx", "bench/baseline.ts"],
  Remit: (data: string) => ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", "--data", data],
};
type Variant = keyof typeof variants;
const variantNames: readonly Variant[] = ["bare Hono", "Remit"];

type Sample = Measurement & { variant: Variant; connections: number };

const sampleVariant = async (variant: Variant, parent: string, seconds: number): Promise<Sample[]> => {
  const data = mkdtempSync(join(parent, "remit-bench-"));
  try {
    const server = await startServer(variants[variant](data), repository);
    try {
      await measure(server, question, warmUpConnections, warmUpSeconds);
      const samples: Sample[] = [];
      for (const connections of connectionCounts)
        samples.push({ variant, connections, ...(await measure(server, question, connections, seconds)) });
      return samples;
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
};

const loadText = (): string =>
  loadavg()
    .map((load) => load.toFixed(2))
    .join(" ");

const tmpfsMagic = 0x01021994;

const printTable = (samples: readonly Sample[]): void => {
  const rows = connectionCounts.flatMap((connections) =>
    variantNames.map((variant) => {
      const own = samples.filter(
        (sample) => sample.variant === variant && sample.connections === connections,
      );
      const medianOf = (name: keyof Measurement): string => figure(median(own.map((sample) => sample[name])));
      return [
        `${variant}, ${connections} connection${connections === 1 ? "" : "s"}`,
        ...(["requestsPerSecond", "p50Ms", "p99Ms", "cpuMicros"] as const).map(medianOf),
      ];
    }),
  );
  console.log(tableText([["", "requests/s", "p50 ms", "p99 ms", "server CPU µs/request"], ...rows]));
};

const numberOf = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not \`${text}\``);
  return value;
};

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "50" },
      rounds: { type: "string", default: "3" },
      data: { type: "string", default: tmpdir() },
    },
  });
  const rounds = Math.ceil(numberOf("rounds", values.rounds));
  const starts = rounds * variantNames.length;
  // Start and stop take a second of each process.
  const left = numberOf("seconds", values.seconds) - starts * (warmUpSeconds + 1);
  const seconds = left / (starts * connectionCounts.length);
  if (seconds < 0.5) throw new Error("the time is too short for that many rounds");
  console.log(
    `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}; load before: ${loadText()}`,
  );
  if (statfsSync(values.data).type === tmpfsMagic)
    console.log(`the ledger is in memory: use --data for a folder on a disk, where a commit costs an fsync`);
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? variantNames : [...variantNames].reverse();
    for (const variant of order) samples.push(...(await sampleVariant(variant, values.data, seconds)));
  }
  console.log(
    `medians of ${rounds} rounds of ${seconds.toFixed(1)} s, every answer checked; load after: ${loadText()}\n`,
  );
  printTable(samples);
};

await main();
