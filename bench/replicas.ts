/**
 * What several services on one PostgreSQL ledger do, beside one on SQLite: `npm run bench:replicas -- --seconds 5 --rounds 3`.
 * All are up side by side, in each round fresh processes, and are loaded in turn; the order is reversed each round, and the table
 * shows medians. A question reserves on four accounts: of one hierarchy for all (`hot`), or of 1,000 (`spread`), alone or in a batch.
 * Database, services and load share one machine: where it has few cores, that is what bounds more services.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Server, startServer } from "../conformance-tests/postgres.ts";
import { batchOf, makeFolder, questionOf, type Spread } from "./hierarchies.ts";
import { measure, type Measurement } from "./load.ts";
import { launch, type ServerProcess } from "./server-process.ts";
import { figure, median, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "5" }, rounds: { type: "string", default: "3" } },
});
const [seconds, rounds] = [Number(values.seconds), Math.ceil(Number(values.rounds))];

/** How many services; none: one on SQLite. */
const variants = [0, 1, 2, 4] as const;
const nameOf = (replicas: number): string =>
  replicas === 0 ? "SQLite" : `PostgreSQL, ${replicas} service${replicas === 1 ? "" : "s"}`;
/** How it is asked: by so many callers, each with so many questions at a time. */
type Load = { spread: Spread; callers: number; items: number };
const loads: readonly Load[] = [
  { spread: "hot", callers: 16, items: 1 },
  { spread: "hot", callers: 64, items: 1 },
  { spread: "spread", callers: 16, items: 1 },
  { spread: "spread", callers: 64, items: 1 },
  { spread: "spread", callers: 8, items: 10 },
  { spread: "spread", callers: 8, items: 50 },
];
const warmUpSeconds = 3;

type Fleet = { servers: ServerProcess[]; stop: () => Promise<void> };

const startFleet = async (replicas: number, server: Server, parent: string): Promise<Fleet> => {
  const url = replicas === 0 ? undefined : await server.create();
  const servers: ServerProcess[] = [];
  let first: string | undefined;
  for (let n = 0; n < Math.max(1, replicas); n++) {
    const dir = makeFolder(parent, "reserve");
    if (first !== undefined) {
      mkdirSync(join(dir, "data"));
      for (const key of ["ledger.key", "ledger.pub"])
        copyFileSync(join(first, "data", key), join(dir, "data", key));
    }
    first ??= dir;
    const folders = ["policies", "schemas", "data"].flatMap((name) => [`--${name}`, join(dir, name)]);
    const args = ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", ...folders];
    // Every question is answered: none is turned away for how many there are.
    const env = { REMIT_SHED_WAIT_MS: "0", ...(url === undefined ? {} : { REMIT_STORE: url }) };
    servers.push(await launch({ command: process.execPath, args, cwd: repository, env }));
  }
  return {
    servers,
    stop: async () => {
      for (const one of servers) await one.stop();
      if (url !== undefined) await server.remove(url);
    },
  };
};

/** All of a fleet at once, each with its share of the callers. */
const measureFleet = async (
  { servers }: Fleet,
  { spread, callers, items }: Load,
  during: number,
): Promise<Measurement> => {
  const share = Math.max(1, Math.round(callers / servers.length));
  const question = items === 1 ? questionOf("reserve", spread) : batchOf("reserve", spread, items);
  const found = await Promise.all(servers.map((server) => measure(server, question, share, during)));
  const rates = found.map(({ requestsPerSecond }) => requestsPerSecond);
  const requestsPerSecond = rates.reduce((sum, rate) => sum + rate, 0);
  const weighted = (of: (one: Measurement) => number): number =>
    found.reduce((sum, one) => sum + of(one) * one.requestsPerSecond, 0) / requestsPerSecond;
  return {
    requestsPerSecond: requestsPerSecond * items,
    p50Ms: weighted(({ p50Ms }) => p50Ms),
    p99Ms: Math.max(...found.map(({ p99Ms }) => p99Ms)),
    cpuMicros: weighted(({ cpuMicros }) => cpuMicros) / items,
  };
};

const parent = mkdtempSync(join(tmpdir(), "remit-replicas-"));
const server = await startServer();
const found = new Map<string, Measurement[]>();
const keyOf = (replicas: number, load: Load): string => JSON.stringify([replicas, load]);
console.log(
  `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}; load before: ${loadavg()[0]!.toFixed(2)}`,
);
try {
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? variants : [...variants].reverse();
    const fleets = new Map<number, Fleet>();
    try {
      for (const replicas of order) fleets.set(replicas, await startFleet(replicas, server, parent));
      for (const fleet of fleets.values()) await measureFleet(fleet, loads[3]!, warmUpSeconds);
      for (const load of loads)
        for (const replicas of order) {
          const key = keyOf(replicas, load);
          const measured = await measureFleet(fleets.get(replicas)!, load, seconds);
          found.set(key, [...(found.get(key) ?? []), measured]);
        }
    } finally {
      for (const { stop } of fleets.values()) await stop();
    }
  }
} finally {
  await server.stop();
  rmSync(parent, { recursive: true, force: true });
}
const medianOf = (key: string, name: keyof Measurement): string =>
  figure(median((found.get(key) ?? []).map((one) => one[name])));
const lines = loads.flatMap((load) =>
  variants.map((replicas) => {
    const key = keyOf(replicas, load);
    const figures = (["requestsPerSecond", "p50Ms", "p99Ms", "cpuMicros"] as const).map((name) =>
      medianOf(key, name),
    );
    const { spread, callers, items } = load;
    const batches = items === 1 ? "" : `, batches of ${items}`;
    return [`${nameOf(replicas)}, ${spread}, ${callers} callers${batches}`, ...figures];
  }),
);
console.log(
  tableText([["", "decisions/s", "p50 ms", "p99 ms of the slowest", "service CPU µs/decision"], ...lines]),
);
