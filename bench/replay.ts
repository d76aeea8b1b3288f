/** `npm run bench:replay -- --decisions 100000`: records so many decisions, replays them all, fails on any difference. */
import { parseArgs } from "node:util";
import { replay } from "./replayed.ts";

const { values } = parseArgs({ options: { decisions: { type: "string", default: "100000" } } });
const decisions = Number(values.decisions);
const { judged, different, permits, askedMs, replayedMs } = await replay(decisions);
const seconds = (ms: number): string => (ms / 1000).toFixed(1);
console.log(
  `${decisions} decisions, ${permits} of them permits, asked in ${seconds(askedMs)} s; ${judged} judged again in ${seconds(replayedMs)} s, ${different} differ`,
);
process.exitCode = judged === decisions && different === 0 ? 0 : 1;
