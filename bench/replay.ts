/** `npm run bench:replay -- --decisions 100000`: records so many decisions, replays them all, fails on any difference. */
import { parseArgs } from "node:util";
import { replay } from "./replayed.ts";

const { values } = parseArgs({ options: { decisions: { type: "string", default: "100000" } } });
const decisions = Number(values.decisions);
const { judged, repeated, different, reasons, askedMs, replayedMs } = await replay(decisions);
const seconds = (ms: number): string => (ms / 1000).toFixed(1);
console.log(`${judged + repeated} decisions, asked in ${seconds(askedMs)} s: ${JSON.stringify(reasons)}`);
console.log(
  `${judged} judged again in ${seconds(replayedMs)} s, ${repeated} were answers given again, ${different} differ`,
);
process.exitCode = judged + repeated >= decisions && different === 0 ? 0 : 1;
