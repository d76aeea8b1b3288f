/**
 * `npm run hammer -- --cycles 200 --callers 64`: kills the service so often, prints what came of it, fails on any fault. With
 * `--replicas 4` four services share a PostgreSQL ledger, and the database is killed as well, in every tenth cycle.
 */
import { parseArgs } from "node:util";
import { startServer } from "../conformance-tests/postgres.ts";
import { hammer, type HammerSummary } from "./hammer-cycles.ts";
import { hammerReplicas } from "./hammer-replicas.ts";

const { values } = parseArgs({
  options: {
    cycles: { type: "string", default: "20" },
    callers: { type: "string", default: "64" },
    replicas: { type: "string", default: "0" },
  },
});
const cycles = Math.min(1000, Number(values.cycles));
const callers = Math.min(256, Number(values.callers));
const replicas = Math.min(16, Number(values.replicas));

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const progress = (cycle: number): boolean => process.stderr.write(`\r${cycle} of ${cycles} cycles`);

const run = async (): Promise<HammerSummary> => {
  if (replicas === 0) return hammer({ cycles, callers, answers: [40, 600], progress });
  const server = await startServer();
  try {
    return await hammerReplicas({
      server,
      replicas,
      cycles,
      callers,
      answers: [40, 400],
      crashEvery: 10,
      progress,
    });
  } finally {
    await server.stop();
  }
};

const startedMs = performance.now();
const summary = await run();
process.stderr.write("\n");
const { faults, ...counts } = summary;
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(JSON.stringify({ ...counts, callers, replicas, seconds, faults: faults.length }, null, 2));
for (const fault of faults.slice(0, 20)) console.log(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
