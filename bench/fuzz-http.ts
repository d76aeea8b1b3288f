/**
 * Bent requests at every operation of a service: `npm run fuzz:http -- --requests 1000000 --seed 1`. Prints what it found and
 * ends with 1 where an answer was one that may never be.
 */
import { parseArgs } from "node:util";
import { type Found, fuzzHttp } from "./http/fuzz.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    callers: { type: "string", default: "16" },
  },
});

const began = Date.now();
const report = ({ requests, statuses, slowestMs, faults }: Found): string =>
  `${requests} requests in ${Math.round((Date.now() - began) / 1000)} s: ${JSON.stringify(statuses)}, slowest ${Math.round(slowestMs)} ms, faults ${faults.length}`;

let told = began;
const found = await fuzzHttp({
  requests: Number(values.requests),
  seed: Number(values.seed),
  callers: Number(values.callers),
  told: (sofar) => {
    if (Date.now() - told < 10_000) return;
    told = Date.now();
    console.log(report(sofar));
  },
});
console.log(report(found));
for (const fault of found.faults) console.log(JSON.stringify(fault));
process.exitCode = found.faults.length > 0 ? 1 : 0;
