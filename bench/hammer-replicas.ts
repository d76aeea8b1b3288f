/**
 * The hammer on several services that share a PostgreSQL ledger: while callers ask all of them, services are killed one after
 * another, and the database with them; then the one ledger must account for everything that any of them answered.
 */
import { once } from "node:events";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../conformance-tests/service.ts";
import type { EntryView } from "../src/ledger/store.ts";
import { readLedgerKeys } from "../src/ledger/key-file.ts";
import { verifyLog } from "../src/ledger/verify-log.ts";
import { openLedger } from "../src/store/postgres/ledger.ts";
import type { Server } from "../conformance-tests/postgres.ts";
import {
  answered,
  audit,
  beginRuns,
  caller,
  type Child,
  hammerFolder,
  type HammerOptions,
  type HammerSummary,
  never,
  nothingTold,
  startIn,
  type Told,
} from "./hammer-cycles.ts";

export type ReplicasOptions = HammerOptions & {
  server: Server;
  replicas: number;
  /** After so many kills of services the database is killed, too; never where it is absent. */
  crashEvery?: number;
};

export type ReplicasSummary = HammerSummary & { crashes: number; verified: number };

type Replica = { dir: string; child: Child; callers: Promise<unknown> };

const pageEntries = 1000;

const allEntries = async (
  entries: (filter: { limit: number; order: "asc"; cursor?: number }) => Promise<{
    entries: EntryView[];
    next?: number;
  }>,
): Promise<EntryView[]> => {
  const all: EntryView[] = [];
  for (let cursor: number | undefined; ;) {
    const page = await entries({
      limit: pageEntries,
      order: "asc",
      ...(cursor === undefined ? {} : { cursor }),
    });
    all.push(...page.entries);
    if (page.next === undefined) return all;
    cursor = page.next;
  }
};

/** Compares the ledger with what was answered, and verifies its log; gives how many entries it verified. */
const auditShared = async (url: string, dir: string, told: Told): Promise<number> => {
  const keys = readLedgerKeys(join(dir, "data"));
  const at = Date.now() * 1000;
  const bound = { judge: never, admit: never, engine: "reference" };
  const ledger = await openLedger(url, bound, { tree: { keys, known: [], at } });
  try {
    await audit({ ...ledger, entries: () => allEntries(ledger.entries) }, told);
    const source = { checkpoint: () => ledger.checkpoint(at), tile: ledger.tile };
    const { faults, size } = await verifyLog(
      source,
      { keys: keys.verifiers, checkpoints: [] },
      () => undefined,
    );
    told.summary.faults.push(...faults.map(({ index, message }) => `${index ?? ""} ${message}`));
    return size;
  } finally {
    await ledger.close();
  }
};

/** Hammers so many services, kills one of them in each cycle; gives what came of it. */
export const hammerReplicas = async (options: ReplicasOptions): Promise<ReplicasSummary> => {
  const { server, replicas, cycles, callers, answers, crashEvery, progress } = options;
  const url = await server.create();
  const told = nothingTold(cycles);
  const { summary } = told;
  const running: Replica[] = [];
  let started = 0;
  const begin = async (dir: string): Promise<Replica> => {
    const child = await startIn(dir, { REMIT_STORE: url });
    const share = Math.ceil(callers / replicas);
    const name = ++started;
    const loops = Array.from({ length: share }, (_, n) => caller(child.url, told, `${name}-${n}`));
    return { dir, child, callers: Promise.all(loops) };
  };
  const end = async ({ child, callers: loops }: Replica): Promise<void> => {
    const exited = once(child.process, "exit");
    child.process.kill("SIGKILL");
    await exited;
    await loops;
  };
  let crashes = 0;
  for (let n = 0; n < replicas; n++) {
    const dir = hammerFolder();
    mkdirSync(join(dir, "data"));
    const [first] = running;
    if (first)
      for (const key of ["ledger.key", "ledger.pub"])
        copyFileSync(join(first.dir, "data", key), join(dir, "data", key));
    running.push(await begin(dir));
    if (!first) await beginRuns(running[0]!.child.url);
  }
  for (let cycle = 0; cycle < cycles; cycle++) {
    const [least, most] = answers;
    const enough = answered(summary) + least + Math.floor(Math.random() * (most - least + 1));
    await until(() => answered(summary) >= enough, 120_000);
    // Any moment is as good as another.
    await sleep(Math.random() * 10);
    if (crashEvery !== undefined && (cycle + 1) % crashEvery === 0) {
      crashes++;
      await server.crash();
      await server.restart();
    }
    const [victim] = running.splice(Math.floor(Math.random() * running.length), 1);
    await end(victim!);
    running.push(await begin(victim!.dir));
    progress?.(cycle + 1);
  }
  for (const replica of running) await end(replica);
  const verified = await auditShared(url, running[0]!.dir, told);
  await server.remove(url);
  return { ...summary, crashes, verified };
};
