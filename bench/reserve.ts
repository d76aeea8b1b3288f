/**
 * What reserving costs beside the plain decision: `npm run bench:reserve -- --seconds 90 --rounds 2`. Both ask the same
 * question under the same policies; `reserve` brings an estimate that four accounts must hold (agent, parent agent, team,
 * run), `plain` meets no budget. `hot` is one such hierarchy for all callers, `spread` is 1,000 of them. Rounds interleave
 * the two, each with fresh processes; the table shows medians. Trust the ratios, not the figures: the load comes from the
 * same machine. No hold is settled, so every one stays open.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measure, type Measurement, type Question } from "./load.ts";
import { startServer } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const callerCounts = [1, 16, 64, 256];
const hierarchies = 1000;
const warmUpSeconds = 1;

const variants = ["plain", "reserve"] as const;
type Variant = (typeof variants)[number];
const spreads = ["hot", "spread"] as const;
type Spread = (typeof spreads)[number];

type Sample = Measurement & { variant: Variant; spread: Spread; callers: number };

/** A limit that no run reaches. */
const limit = 1_000_000_000_000;

/** The shipped budgets without protection from loops, since a benchmark is one, and with three that count `read`. */
const budgetsYaml = (variant: Variant): string => {
  const shipped = readFileSync(join(repository, "policies/budgets.yaml"), "utf8");
  const [budgets] = shipped.split(/^runaway:$/m);
  const added = (["agent", "team", "run"] as const).map(
    (per) =>
      `  - { id: bench-${per}, unit: usd_micros, limit: ${limit}, per: [${per}], for: { action: read }, window: { every: day } }\n`,
  );
  return variant === "plain" ? budgets! : `${budgets}${added.join("")}`;
};

const agentIn = (kind: "parent" | "agent", n: number): string => `spiffe://example.org/bench/${kind}-${n}`;

const agentsYaml = (): string => {
  const agents = Array.from({ length: hierarchies }, (_, n) => {
    // An owner without a team: theirs would be a fifth account.
    const common = { owner: "sales@example.org", team: `team-${n}`, org: "example" };
    const attrs = { clients: [{ type: "Client", id: "acme" }], models: ["small"] };
    return [
      { id: agentIn("parent", n), ...common, attrs },
      { id: agentIn("agent", n), ...common, parent: agentIn("parent", n), attrs },
    ];
  });
  // JSON is YAML.
  return JSON.stringify({ agents: agents.flat() });
};

const makeFolder = (parent: string, variant: Variant): string => {
  const dir = mkdtempSync(join(parent, "remit-bench-"));
  for (const name of ["policies", "schemas"])
    cpSync(join(repository, name), join(dir, name), { recursive: true });
  writeFileSync(join(dir, "policies/budgets.yaml"), budgetsYaml(variant));
  writeFileSync(join(dir, "policies/entities/agents.yaml"), agentsYaml());
  return dir;
};

const bodyOf = (variant: Variant, n: number): string =>
  JSON.stringify({
    subject: { type: "Agent", id: agentIn("agent", n) },
    action: { name: "read" },
    resource: { type: "Website", id: "https://www.acme.example" },
    ...(variant === "plain"
      ? {}
      : { context: { remit: { run: `run-${n}`, estimate: { usd_micros: 100 } } } }),
  });

const accountsHeld = 4;

const isReserved = (answer: string): boolean =>
  answer.startsWith('{"decision":true') &&
  answer.includes('"hold":') &&
  answer.split('"account":').length === accountsHeld + 1;

const questionOf = (variant: Variant, spread: Spread): Question => ({
  bodies: Array.from({ length: spread === "hot" ? 1 : hierarchies }, (_, n) => bodyOf(variant, n)),
  isRight: variant === "plain" ? (answer) => answer === '{"decision":true}' : isReserved,
});

const sampleVariant = async (variant: Variant, parent: string, seconds: number): Promise<Sample[]> => {
  const dir = makeFolder(parent, variant);
  try {
    const folders = ["policies", "schemas", "data"].flatMap((name) => [`--${name}`, join(dir, name)]);
    const args = ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", ...folders];
    const server = await startServer(args, repository);
    try {
      await measure(server, questionOf(variant, "spread"), 16, warmUpSeconds);
      const samples: Sample[] = [];
      for (const spread of spreads)
        for (const callers of callerCounts) {
          const measured = await measure(server, questionOf(variant, spread), callers, seconds);
          samples.push({ variant, spread, callers, ...measured });
        }
      return samples;
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

const loadText = (): string =>
  loadavg()
    .map((load) => load.toFixed(2))
    .join(" ");

const tmpfsMagic = 0x01021994;

const printTable = (samples: readonly Sample[]): void => {
  const rows = spreads.flatMap((spread) =>
    callerCounts.flatMap((callers) => {
      const medianOf = (variant: Variant, name: keyof Measurement): number =>
        median(
          samples
            .filter(
              (sample) =>
                sample.variant === variant && sample.spread === spread && sample.callers === callers,
            )
            .map((sample) => sample[name]),
        );
      const ratio = medianOf("reserve", "cpuMicros") / medianOf("plain", "cpuMicros");
      return variants.map((variant) => [
        `${variant}, ${spread}, ${callers} caller${callers === 1 ? "" : "s"}`,
        ...(["requestsPerSecond", "p50Ms", "p99Ms", "cpuMicros"] as const).map((name) =>
          figure(medianOf(variant, name)),
        ),
        variant === "reserve" ? figure(ratio) : "",
      ]);
    }),
  );
  const head = ["", "requests/s", "p50 ms", "p99 ms", "server CPU µs/request", "CPU reserve/plain"];
  console.log(tableText([head, ...rows]));
};

const numberOf = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not \`${text}\``);
  return value;
};

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "90" },
      rounds: { type: "string", default: "2" },
      data: { type: "string", default: tmpdir() },
    },
  });
  const rounds = Math.ceil(numberOf("rounds", values.rounds));
  const starts = rounds * variants.length;
  // Start, warm-up and stop take three seconds of each process.
  const left = numberOf("seconds", values.seconds) - starts * (warmUpSeconds + 2);
  const seconds = left / (starts * spreads.length * callerCounts.length);
  if (seconds < 0.5) throw new Error("the time is too short for that many rounds");
  console.log(
    `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}; load before: ${loadText()}`,
  );
  if (statfsSync(values.data).type === tmpfsMagic)
    console.log(`the ledger is in memory: use --data for a folder on a disk, where a commit costs an fsync`);
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? variants : [...variants].reverse();
    for (const variant of order) samples.push(...(await sampleVariant(variant, values.data, seconds)));
  }
  console.log(
    `medians of ${rounds} rounds of ${seconds.toFixed(1)} s, every answer checked; load after: ${loadText()}\n`,
  );
  printTable(samples);
};

await main();
