/** `npm run hammer -- --cycles 200 --callers 64`: kills the service so often, prints what came of it, fails on any fault. */
import { parseArgs } from "node:util";
import { hammer } from "./hammer-cycles.ts";

const { values } = parseArgs({
  options: { cycles: { type: "string", default: "20" }, callers: { type: "string", default: "64" } },
});
const cycles = Math.min(1000, Number(values.cycles));
const callers = Math.min(256, Number(values.callers));

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const startedMs = performance.now();
const summary = await hammer({
  cycles,
  callers,
  answers: [40, 600],
  progress: (cycle) => process.stderr.write(`\r${cycle} of ${cycles} cycles`),
});
process.stderr.write("\n");
const { faults, ...counts } = summary;
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(JSON.stringify({ ...counts, callers, seconds, faults: faults.length }, null, 2));
for (const fault of faults.slice(0, 20)) console.log(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
