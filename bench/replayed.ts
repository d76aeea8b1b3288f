/**
 * A ledger of decisions of every sort, asked of a real service, and its replay: each decision is judged again under the
 * policies of then, on the facts and balances of then, and must come out as it was recorded.
 */
import { execFile } from "node:child_process";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { post, repository, startTestService, tempDir } from "../conformance-tests/service.ts";
import { randomFrom, type Random } from "./engine/random.ts";

export type Replay = {
  judged: number;
  /** Outcome or ground differ from what is recorded. */
  different: number;
  permits: number;
  askedMs: number;
  replayedMs: number;
};

const auditor = "spiffe://example.org/agents/a11y-auditor";
const checker = "spiffe://example.org/agents/link-checker";
const agents = [auditor, checker, "spiffe://example.org/agents/retired-crawler", "agents/unknown"];
const people = ["owner@example.org", "sales@example.org", "guest@elsewhere.example", "nobody@example.org"];
const sites = [
  "https://www.acme.example",
  "https://members.acme.example",
  "https://www.globex.example",
  "https://x.example",
];
const records = ["acme-2026-11", "acme-complaints", "globex-2026-11", "new"];
const batchSize = 250;

const resourceOf = (random: Random, action: string): object => {
  if (action === "invoke") {
    const [type, id] = random.pick([
      ["model", "small-1"],
      ["model", "frontier-1"],
      ["api", "contrast-checker"],
      ["api", "people-search"],
    ]);
    return { type, id };
  }
  if (action === "write") {
    const properties = random.chance(0.5)
      ? { client: { type: "client", id: "acme" }, personal_data: false }
      : {};
    return { type: "audit-record", id: random.pick(records), properties };
  }
  return { type: "website", id: random.pick(sites) };
};

/** One question: people, agents, agents for people, estimates, runs, mistyped values and unknown names. */
const questionOf = (random: Random): object => {
  const action = random.pick(["read", "read", "update", "write", "invoke", "invoke", "dance"]);
  const agent = random.pick(agents);
  const person = random.chance(0.3);
  const behalf = person && random.chance(0.5) ? { act: { sub: agent } } : {};
  const subject = person
    ? { type: "user", id: random.pick(people), properties: behalf }
    : { type: "agent", id: agent };
  const remit = {
    ...(random.chance(0.3) ? { run: `run-${random.below(20)}-${agent.slice(-4)}` } : {}),
    ...(action === "invoke" && random.chance(0.8)
      ? { estimate: { usd_micros: 1 + random.below(200_000) } }
      : {}),
  };
  return {
    subject,
    action: { name: action },
    resource: resourceOf(random, action),
    context: { remit, ...(random.chance(0.1) ? { note: 7 } : {}) },
  };
};

const askAll = async (url: string, decisions: number): Promise<number> => {
  const random = randomFrom(20_261_125);
  let permits = 0;
  for (let asked = 0; asked < decisions; asked += batchSize) {
    const evaluations = Array.from({ length: Math.min(batchSize, decisions - asked) }, () =>
      questionOf(random),
    );
    const { status, body, text } = await post(`${url}/access/v1/evaluations`, { evaluations });
    if (status !== 200) throw new Error(`${status} ${text}`);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as AuthZEN has it
    const answers = body["evaluations"] as { decision: boolean }[];
    permits += answers.filter(({ decision }) => decision).length;
  }
  return permits;
};

const simulate = async (
  dir: string,
  options: readonly string[],
): Promise<{ judged: number; different: number }> => {
  const args = [join(repository, "dist/cli/main.js"), "policy", "simulate", "--format", "json", ...options];
  // It exits with 1 where something differs, and has told what.
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: dir,
    maxBuffer: 1 << 30,
  }).catch((error: { code?: unknown; stdout: string }) => {
    if (error.code === 1 && error.stdout !== "") return error;
    throw error;
  });
  const { judged, flipped, changed } = JSON.parse(stdout) as Record<"flipped" | "changed", unknown[]> & {
    judged: number;
  };
  return { judged, different: flipped.length + changed.length };
};

/** Asks so many questions, and replays them; with `edit`, under policies that it changed. */
export const replay = async (decisions: number, edit?: (policies: string) => void): Promise<Replay> => {
  const dir = tempDir();
  try {
    for (const name of ["policies", "schemas"])
      cpSync(join(repository, name), join(dir, name), { recursive: true });
    // Budgets are to deny and to permit to the end.
    const budgets = `budgets:
  - { id: agent-daily-usd, unit: usd_micros, limit: ${decisions * 12_000}, per: [agent], for: { action: [invoke] }, window: { every: day }, default_estimate: 20000 }
`;
    writeFileSync(join(dir, "policies/budgets.yaml"), budgets);
    const service = await startTestService({ dir });
    const began = performance.now();
    let permits: number;
    try {
      permits = await askAll(service.url, decisions);
    } finally {
      await service.close();
    }
    const askedMs = performance.now() - began;
    edit?.(join(dir, "policies"));
    const replayedFrom = performance.now();
    const found = await simulate(dir, edit ? ["--candidate", "policies"] : ["--recorded"]);
    return { ...found, permits, askedMs, replayedMs: performance.now() - replayedFrom };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};
