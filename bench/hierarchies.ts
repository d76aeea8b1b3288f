/** Folders and questions for benchmarks of budgets: hierarchies of four accounts each, or none at all. */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Question } from "./load.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

/** How many hierarchies there are. */
export const hierarchies = 1000;

/** `plain` questions meet no budget, `reserve` an estimate that four accounts must hold. */
export type Variant = "plain" | "reserve";

/** Whether all ask of one hierarchy, or of all of them. */
export type Spread = "hot" | "spread";

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

/** A folder with policies, schemas, budgets and agents. */
export const makeFolder = (parent: string, variant: Variant): string => {
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

/** The same question so many times in one request. */
export const batchOf = (variant: Variant, spread: Spread, items: number): Question => {
  const { bodies } = questionOf(variant, spread);
  return {
    path: "/access/v1/evaluations",
    bodies: bodies.map((body) => `{"evaluations":[${Array.from({ length: items }, () => body).join()}]}`),
    isRight: (answer) => answer.split('{"decision":true').length === items + 1,
  };
};

/** What is asked. */
export const questionOf = (variant: Variant, spread: Spread): Question => ({
  bodies: Array.from({ length: spread === "hot" ? 1 : hierarchies }, (_, n) => bodyOf(variant, n)),
  isRight: variant === "plain" ? (answer) => answer === '{"decision":true}' : isReserved,
});
