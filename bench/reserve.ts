/**
 * What reserving costs beside the plain decision: `npm run bench:reserve -- --seconds 90 --rounds 2`. Both ask the same
 * question under the same policies; `reserve` brings an estimate that four accounts must hold (agent, parent agent, team,
 * run), `plain` meets no budget. `hot` is one such hierarchy for all callers, `spread` is 1,000 of them. Both are up side by
 * side and are loaded in turn, in each round fresh processes; the table shows medians. Trust the ratios, not the figures: the load comes from the
 * same machine. No hold is settled, so every one stays open.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeFolder, questionOf, type Spread, type Variant } from "./hierarchies.ts";
import { figuresOf, measuredHeads, type Row, sampleAsAsked, type Started } from "./rounds.ts";
import { launch } from "./server-process.ts";
import { figure, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const callerCounts = [1, 16, 64, 256];
/** The first thousands of questions meet JavaScript that isn't optimised yet, and open accounts. */
const warmUpSeconds = 3;
const warmUpCallers = 64;

const variants = ["plain", "reserve"] as const;
const spreads = ["hot", "spread"] as const;

const start = async (variant: Variant, parent: string): Promise<Started> => {
  const dir = makeFolder(parent, variant);
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const folders = ["policies", "schemas", "data"].flatMap((name) => [`--${name}`, join(dir, name)]);
    const args = ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", ...folders];
    // Every question is answered: none is turned away for how many there are.
    const env = { REMIT_SHED_WAIT_MS: "0" };
    const server = await launch({ command: process.execPath, args, cwd: repository, env });
    return { server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
};

const rowOf = (spread: Spread, callers: number): Row<Variant> => ({
  name: spread,
  callers,
  question: (variant) => questionOf(variant, spread),
});

const rows = spreads.flatMap((spread) => callerCounts.map((callers) => rowOf(spread, callers)));
const warmUp = { ...rowOf("spread", warmUpCallers), seconds: warmUpSeconds };

const samples = await sampleAsAsked({ variants, rows, warmUp, start }, { seconds: "90", rounds: "2" });
const lines = rows.flatMap((row) => {
  const ratio = samples(row, "reserve").medianOf("cpuMicros") / samples(row, "plain").medianOf("cpuMicros");
  return variants.map((variant) => [
    `${variant}, ${row.name}, ${row.callers} caller${row.callers === 1 ? "" : "s"}`,
    ...figuresOf(samples(row, variant)),
    variant === "reserve" ? figure(ratio) : "",
  ]);
});
console.log(tableText([["", ...measuredHeads, "CPU reserve/plain"], ...lines]));
