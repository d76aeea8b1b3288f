/**
 * The hammer: concurrent callers ask, settle, release, extend, retry and forget, on hierarchies of depth four, while
 * services are killed again and again; then the ledger must account for everything that was answered.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { post, repository, tempDir, until } from "../conformance-tests/service.ts";
import type { EntryView } from "../src/ledger/store.ts";
import { openLedger } from "../src/store/sqlite/ledger.ts";

export type HammerOptions = {
  cycles: number;
  callers: number;
  /** How many answers there are between start and SIGKILL, at least and at most. */
  answers: readonly [number, number];
  /** Hears how far it is. */
  progress?: (cycle: number) => void;
};

export type HammerSummary = {
  cycles: number;
  permits: number;
  denials: number;
  /** Questions asked again under their key, most of them over a kill. */
  retries: number;
  settled: number;
  released: number;
  extended: number;
  /** Answers that were refusals, by status. */
  refused: Record<string, number>;
  entries: number;
  lapsed: number;
  overruns: number;
  /** What is wrong; nothing, where all is well. */
  faults: string[];
};

/** Of each minute; small enough for contention, so that there are denials as well as permits. */
const limits: Record<string, number> = {
  "all-usd": 900_000,
  "agent-usd": 700_000,
  "run-usd": 600_000,
  calls: 4_000,
  slots: 48,
};

const files: Record<string, string> = {
  "schemas/hammer.cedarschema": `
@remit("user") entity User;
@remit("agent") entity Agent = { owner: User };
entity Model;
type Context = { remit: Remit::Facts };
@remit("metered") action "invoke" appliesTo { principal: Agent, resource: Model, context: Context };
`,
  "policies/hammer.cedar": `@id("all") permit (principal, action, resource);\n`,
  "policies/budgets.yaml": `
budgets:
  - { id: all-usd, unit: usd_micros, limit: ${limits["all-usd"]}, window: { every: minute } }
  - { id: agent-usd, unit: usd_micros, limit: ${limits["agent-usd"]}, per: [agent], window: { every: minute }, on_lapse: release }
  - { id: run-usd, unit: usd_micros, limit: ${limits["run-usd"]}, per: [run], window: { every: minute } }
  - { id: calls, unit: requests, limit: ${limits["calls"]}, per: [agent], window: { every: minute } }
  - { id: slots, unit: concurrent, limit: ${limits["slots"]} }
`,
  "policies/entities/people.yaml": "- uid: { type: User, id: ada }\n",
  "policies/entities/agents.yaml": `agents:
  - { id: top, owner: ada }
  - { id: mid, owner: ada, parent: top }
  - { id: low, owner: ada, parent: mid }
${Array.from({ length: 8 }, (_, n) => `  - { id: leaf-${n}, owner: ada, parent: low }`).join("\n")}
`,
};

/** A service that runs. */
export type Child = { process: ChildProcess; url: string };

/** Starts a service in a folder. */
export const startIn = async (dir: string, env: Record<string, string> = {}): Promise<Child> => {
  const main = join(repository, "dist/cli/main.js");
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0"], {
    cwd: dir,
    env: { REMIT_LOG_LEVEL: "error", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  // Whoever stops the hammer leaves no service behind.
  const end = (): boolean => child.kill("SIGKILL");
  process.once("exit", end);
  child.once("exit", () => process.off("exit", end));
  await until(() => /listens on (http:\S+)/.test(text) || child.exitCode !== null);
  const [, url] = /listens on (http:\S+)/.exec(text) ?? [];
  if (url === undefined) throw new Error(`the service didn't start: ${text}`);
  return { process: child, url };
};

const random = (max: number): number => Math.floor(Math.random() * max);

type Pending = { key: string; body: unknown };

/** What was answered, which the ledger must account for. */
export type Told = {
  summary: HammerSummary;
  permits: Map<string, string>;
  holdOfKey: Map<string, string>;
  finished: { hold: string; kind: string }[];
  /** Asked, and cut off before an answer. */
  pending: Pending[];
};

const question = (key: string): Pending => {
  const leaf = `leaf-${random(8)}`;
  const remit = {
    run: `run-${leaf}`,
    parent_run: "run-low",
    estimate: { usd_micros: 1 + random(400) },
    idempotency_key: key,
    ttl_seconds: 1 + random(2),
  };
  const body = {
    subject: { type: "Agent", id: leaf },
    action: { name: "invoke" },
    resource: { type: "Model", id: "small-1" },
    context: { remit },
  };
  return { key, body };
};

/** The runs above those of the leaves, each begun by the agent above. */
export const beginRuns = async (url: string): Promise<void> => {
  for (const [id, run, parent_run] of [
    ["top", "run-top"],
    ["mid", "run-mid", "run-top"],
    ["low", "run-low", "run-mid"],
  ]) {
    const remit = { run, ...(parent_run === undefined ? {} : { parent_run }), estimate: { usd_micros: 1 } };
    const subject = { type: "Agent", id };
    const rest = { action: { name: "invoke" }, resource: { type: "Model", id: "small-1" } };
    await post(`${url}/access/v1/evaluation`, { subject, ...rest, context: { remit } });
  }
};

type RemitAnswer = { hold?: { id: string; amounts: Record<string, number> } };

const asked = async (url: string, told: Told, pending: Pending): Promise<RemitAnswer["hold"]> => {
  const { summary } = told;
  const { status, body, headers } = await post(`${url}/access/v1/evaluation`, pending.body);
  if (status !== 200) {
    summary.refused[status] = (summary.refused[status] ?? 0) + 1;
    return undefined;
  }
  if (body.decision !== true) {
    summary.denials++;
    return undefined;
  }
  summary.permits++;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the wire format
  const { hold } = (body["context"] as { remit: RemitAnswer }).remit;
  told.permits.set(headers.get("remit-decision")!, pending.key);
  const known = told.holdOfKey.get(pending.key);
  if (hold === undefined) summary.faults.push(`a permit under \`${pending.key}\` has no hold`);
  else if (known !== undefined && known !== hold.id)
    summary.faults.push(`the key \`${pending.key}\` got two holds`);
  else told.holdOfKey.set(pending.key, hold.id);
  return hold;
};

/** Changes a hold. What is answered with success must be in the ledger. */
const change = async (
  url: string,
  told: Told,
  verb: "settle" | "release" | "extend",
  hold: string,
  body: object,
): Promise<void> => {
  const { status } = await post(`${url}/v1/holds/${hold}/${verb}`, body);
  const { summary } = told;
  if (status !== 200) {
    summary.refused[`${verb} ${status}`] = (summary.refused[`${verb} ${status}`] ?? 0) + 1;
    return;
  }
  summary[verb === "settle" ? "settled" : verb === "release" ? "released" : "extended"]++;
  told.finished.push({ hold, kind: `hold.${verb}` });
};

/** What a caller does with what it holds: one of all that callers do. */
const finish = async (
  url: string,
  told: Told,
  { id, amounts }: NonNullable<RemitAnswer["hold"]>,
): Promise<void> => {
  const held = amounts["usd_micros"] ?? 0;
  const settle = (usd_micros: number, final = true): Promise<void> =>
    change(url, told, "settle", id, { amounts: { usd_micros }, final });
  switch (random(8)) {
    case 0:
    case 1:
      return settle(random(held + 1));
    case 2:
      await settle(random(held + 1), false);
      return change(url, told, "release", id, {});
    case 3:
      // A retry that overtakes what it repeats.
      await Promise.all([settle(held), settle(held)]);
      return;
    case 4:
      return change(url, told, "release", id, {});
    case 5:
      await change(url, told, "extend", id, { ttl_seconds: 2, amounts: { usd_micros: 1 + random(50) } });
      return settle(random(held + 1));
    case 6:
      return settle(held + random(20));
    default:
    // Forgotten: it lapses.
  }
};

const refusals = ({ summary }: Told): number =>
  Object.values(summary.refused).reduce((sum, count) => sum + count, 0);

/** One caller, until the service is gone. */
export const caller = async (url: string, told: Told, name: string): Promise<void> => {
  for (let n = 0; ; n++) {
    const again = told.pending.shift();
    if (again) told.summary.retries++;
    const pending = again ?? question(`${name}-${n}`);
    const before = refusals(told);
    try {
      const hold = await asked(url, told, pending);
      if (hold && random(6) === 0) {
        told.summary.retries++;
        await asked(url, told, pending);
      }
      if (hold) await finish(url, told, hold);
      // Whoever is refused doesn't press.
      if (refusals(told) > before) await sleep(20);
    } catch {
      told.pending.push(pending);
      return;
    }
  }
};

type Sum = { used: number; held: number };

/** Follows every account through all entries: nothing but an overrun may lead beyond a limit, nothing below zero. */
const followBalances = (entries: readonly EntryView[], faults: string[]): Map<string, Sum> => {
  const sums = new Map<string, Sum>();
  for (const { index, kind, facts, moves = [] } of entries) {
    for (const { budget, account, start, used = 0, held = 0 } of moves) {
      const key = `${budget} ${account} ${start}`;
      const sum = sums.get(key) ?? { used: 0, held: 0 };
      const now = { used: sum.used + used, held: sum.held + held };
      sums.set(key, now);
      if (now.used < 0 || now.held < 0) faults.push(`entry ${index}: ${key} is below zero`);
      const over = now.used + now.held > (limits[budget] ?? 0);
      if (over && used + held > 0 && facts?.["overrun"] !== true && facts?.["late"] !== true)
        faults.push(`entry ${index} (${kind}) leads ${key} to ${now.used} used and ${now.held} held`);
    }
  }
  return sums;
};

/** For a ledger that is only looked through. */
export const never = (): never => {
  throw new Error("nothing is judged here");
};

/** A ledger that is looked through after everything. */
export type Audited = {
  auditBalances: () => Promise<{ budget: string; account: string; message: string }[]>;
  lapse: (at: number) => Promise<number>;
  /** All entries, in order. */
  entries: () => Promise<EntryView[]>;
};

/** Lets everything lapse, and compares the ledger with what was answered. */
export const audit = async (ledger: Audited, told: Told): Promise<void> => {
  const { summary } = told;
  const compare = async (): Promise<void> => {
    for (const { budget, account, message } of await ledger.auditBalances())
      summary.faults.push(`${budget} ${account}: ${message}`);
  };
  await compare();
  while ((await ledger.lapse((Date.now() + 3_600_000) * 1000)) > 0);
  await compare();
  const entries = await ledger.entries();
  for (const [key, { held }] of followBalances(entries, summary.faults))
    if (held !== 0) summary.faults.push(`${key} still holds ${held}, and no hold is open`);
  const permitted = new Set(entries.filter(({ decision }) => decision === "permit").map(({ id }) => id));
  for (const id of told.permits.keys())
    if (!permitted.has(id)) summary.faults.push(`the permit ${id} was answered and is not in the ledger`);
  const done = new Set(entries.map(({ kind, hold }) => `${kind} ${hold}`));
  for (const { kind, hold } of told.finished)
    if (!done.has(`${kind} ${hold}`)) summary.faults.push(`a ${kind} was answered and is not in the ledger`);
  summary.entries = entries.length;
  summary.lapsed = entries.filter(({ kind }) => kind === "hold.lapse").length;
  summary.overruns = entries.filter(({ kind, facts }) => kind === "hold.settle" && facts?.["overrun"]).length;
};

const auditFile = async (dir: string, told: Told): Promise<void> => {
  const bound = { judge: never, admit: never, engine: "reference" };
  const ledger = openLedger(join(dir, "data/remit.db"), bound);
  try {
    const audited: Audited = {
      auditBalances: async () => ledger.auditBalances(),
      lapse: async (at) => ledger.lapse(at),
      entries: async () => ledger.entries({ limit: Number.MAX_SAFE_INTEGER - 1, order: "asc" }).entries,
    };
    await audit(audited, told);
  } finally {
    ledger.close();
  }
};

/** How many answers there were. */
export const answered = ({ permits, denials, settled, released, extended }: HammerSummary): number =>
  permits + denials + settled + released + extended;

/** A folder with the files of the hammer's services. */
export const hammerFolder = (): string => {
  const dir = tempDir();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  return dir;
};

/** What was told before anything was asked. */
export const nothingTold = (cycles: number): Told => {
  const summary: HammerSummary = {
    cycles,
    permits: 0,
    denials: 0,
    retries: 0,
    settled: 0,
    released: 0,
    extended: 0,
    refused: {},
    entries: 0,
    lapsed: 0,
    overruns: 0,
    faults: [],
  };
  return { summary, permits: new Map(), holdOfKey: new Map(), finished: [], pending: [] };
};

/** Starts, hammers and kills as often as is asked, on one data directory; gives what came of it. */
export const hammer = async ({
  cycles,
  callers,
  answers,
  progress,
}: HammerOptions): Promise<HammerSummary> => {
  const dir = hammerFolder();
  const told = nothingTold(cycles);
  const { summary } = told;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const child = await startIn(dir);
    await beginRuns(child.url);
    const loops = Array.from({ length: callers }, (_, n) => caller(child.url, told, `${cycle}-${n}`));
    const [least, most] = answers;
    const enough = answered(summary) + least + random(most - least + 1);
    await until(() => answered(summary) >= enough, 60_000);
    // Any moment is as good as another: the kill falls between, before and inside commits.
    await sleep(random(10));
    const ended = once(child.process, "exit");
    child.process.kill("SIGKILL");
    await ended;
    await Promise.all(loops);
    progress?.(cycle + 1);
  }
  await auditFile(dir, told);
  return summary;
};
