/**
 * What reserving costs beside the plain decision: `npm run bench:reserve -- --seconds 90 --rounds 2`. Both ask the same
 * question under the same policies; `reserve` brings an estimate that four accounts must hold (agent, parent agent, team,
 * run), `plain` meets no budget. `hot` is one such hierarchy for all callers, `spread` is 1,000 of them. Both are up side by
 * side and are loaded in turn, in each round fresh processes; the table shows medians. Trust the ratios, not the figures: the load comes from the
 * same machine. No hold is settled, so every one stays open.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Question } from "./load.ts";
import { figuresOf, measuredHeads, type Row, sampleAsAsked, type Started } from "./rounds.ts";
import { launch } from "./server-process.ts";
import { figure, tableText } from "./statistics.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const callerCounts = [1, 16, 64, 256];
const hierarchies = 1000;
/** The first thousands of questions meet JavaScript that isn't optimised yet, and open accounts. */
const warmUpSeconds = 3;
const warmUpCallers = 64;

const variants = ["plain", "reserve"] as const;
type Variant = (typeof variants)[number];
const spreads = ["hot", "spread"] as const;
type Spread = (typeof spreads)[number];

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
