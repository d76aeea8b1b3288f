/**
 * The compiled engine against Cedar on random policies and questions: `npm run fuzz -- --cases 1000000 --seed 1`.
 * Prints what it found and ends with 1 where the two differed.
 */
import { parseArgs } from "node:util";
import { type Findings, fuzz } from "./engine/differential.ts";

const { values } = parseArgs({
  options: { cases: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
});
const cases = Number(values.cases);
const share = (part: number, of: number): string => `${((100 * part) / of).toFixed(1)} %`;

const began = Date.now();
let told = began;
const report = (found: Findings): string =>
  `${found.cases} cases in ${Math.round((Date.now() - began) / 1000)} s: ` +
  `allow ${share(found.allow, found.cases)}, deny ${share(found.deny, found.cases)}, ` +
  `with an error ${share(found.errors, found.cases)}, left to Cedar ${found.left}, ` +
  `differences ${found.differences.length}`;

const found = fuzz(Number(values.seed), cases, (sofar) => {
  if (Date.now() - told < 10_000) return;
  told = Date.now();
  console.log(report(sofar));
});
console.log(report(found));
for (const { seed, case: one, compiled } of found.differences.slice(0, 20))
  console.log(
    JSON.stringify({ seed, policies: one.set.policies, question: one.question, right: one.right, compiled }),
  );
process.exitCode = found.differences.length > 0 ? 1 : 0;
