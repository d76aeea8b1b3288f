/**
 * What one evaluation over HTTP costs, beside a bare Hono handler: `npm run bench:evaluate -- --seconds 50 --rounds 3`.
 * Both are up side by side and are loaded in turn, in each round fresh processes, so that a slow minute of the machine
 * hits both; the table shows medians. Trust the ratios, not the figures: the load comes from the same machine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Question } from "./load.ts";
import { figuresOf, measuredHeads, type Row, sampleAsAsked, type Started } from "./rounds.ts";
import { startServer } from "./server-process.ts";
import { tableText } from "./statistics.ts";

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

const args = {
  "bare Hono": () => ["--import", "tsx", "bench/baseline.ts"],
  Remit: (data: string) => ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", "--data", data],
};
type Variant = keyof typeof args;
const variants: readonly Variant[] = ["bare Hono", "Remit"];

const start = async (variant: Variant, parent: string): Promise<Started> => {
  const data = mkdtempSync(join(parent, "remit-bench-"));
  const remove = (): void => rmSync(data, { recursive: true, force: true });
  try {
    const server = await startServer(args[variant](data), repository);
    return { server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
};

const rowOf = (callers: number): Row<Variant> => ({ name: "", callers, question: () => question });

const rows = connectionCounts.map(rowOf);
const warmUp = { ...rowOf(warmUpConnections), seconds: warmUpSeconds };

const samples = await sampleAsAsked({ variants, rows, warmUp, start }, { seconds: "50", rounds: "3" });
const lines = rows.flatMap((row) =>
  variants.map((variant) => [
    `${variant}, ${row.callers} connection${row.callers === 1 ? "" : "s"}`,
    ...figuresOf(samples(row, variant)),
  ]),
);
console.log(tableText([["", ...measuredHeads], ...lines]));
