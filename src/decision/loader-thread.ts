/**
 * The thread that watches the folders and builds snapshots: whatever policy text does to the engine, it does here,
 * where no question waits. A whole snapshot goes to the judging thread first, then the rest of it to the main one.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../kit/assert.ts";
import { signatureOf } from "../kit/folder.ts";
import type { LoadError } from "../kit/place.ts";
import { createCedar } from "../policy/cedar.ts";
import { createCompiler } from "../policy/compile.ts";
import { buildSnapshot, type Folders, readFolders, type Snapshot, snapshotPaths } from "./snapshot.ts";
import type { FromLoader, ToJudge, FromJudge } from "./loader.ts";

type Start = { folders: Folders; intervalMs: number; judge: MessagePort };

/** Big enough to be few, small enough that no receiver is held up for long. */
const partSize = 250;

const parts = <T>(items: readonly T[]): T[][] => {
  const cut: T[][] = [];
  for (let at = 0; at < items.length; at += partSize) cut.push(items.slice(at, at + partSize));
  return cut;
};

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const signature = async (folders: Folders): Promise<string> => {
  const paths = await snapshotPaths(folders);
  return signatureOf(Object.values(paths).flat());
};

const run = async ({ folders, intervalMs, judge }: Start): Promise<void> => {
  assert(parentPort, "the loader runs in a thread");
  const main = parentPort;
  const tell = (message: FromLoader): void => main.postMessage(message);
  const cedar = createCedar();
  const compiler = createCompiler(cedar);

  /** Tells the judge and waits until it has taken it in: between parts it answers questions. */
  const send = async (message: ToJudge): Promise<FromJudge> => {
    const answer = new Promise<FromJudge>((resolve) => judge.once("message", resolve));
    judge.postMessage(message);
    const taken = await answer;
    if (taken.error !== undefined) throw new Error(taken.error);
    return taken;
  };

  /** Hands the policies to the judge, which then holds them durably; or says what the ledger has against the budgets. */
  const install = async ({ set, source, head, placeOfBudget }: Snapshot): Promise<LoadError[]> => {
    for (const policies of parts(set.policies)) await send({ kind: "policies", policies });
    const { budgets } = head.book;
    const { budgets: refused = [] } = await send({ kind: "keep", digest: set.digest, source, budgets });
    if (refused.length > 0)
      return refused.map(({ budget, message }) => ({ message, ...placeOfBudget(budget) }));
    await send({ kind: "install", digest: set.digest, actions: set.actions });
    return [];
  };

  let loaded = await signature(folders).catch(() => "");

  /** Loads the files that `loaded` stands for; what changed while it was read is left for the next look. */
  const load = async (): Promise<LoadError[]> => {
    const files = await readFolders(folders);
    if (files.signature !== loaded) {
      loaded = "";
      return [];
    }
    const snapshot = buildSnapshot(compiler, files);
    if ("errors" in snapshot) return snapshot.errors;
    const refused = await install(snapshot);
    if (refused.length > 0) return refused;
    for (const entities of parts(snapshot.entities)) tell({ kind: "entities", entities });
    for (const agents of parts(snapshot.agents)) tell({ kind: "agents", agents });
    tell({ kind: "snapshot", head: snapshot.head, warnings: snapshot.warnings });
    return [];
  };

  /** The files as of now, once two looks in a row agree: an editor may still be writing. */
  const settled = async (): Promise<string> => {
    for (let last = await signature(folders); ;) {
      await sleep(intervalMs / 4);
      const now = await signature(folders);
      if (now === last) return now;
      last = now;
    }
  };

  let thrown: string | undefined;
  for (let first = true; ; first = false) {
    let failure: LoadError[] | undefined;
    try {
      if (first) failure = await load();
      else if ((await signature(folders)) !== loaded) {
        // Remembered before it is read: what changes meanwhile is seen at the next look.
        loaded = await settled();
        failure = await load();
      }
      if (failure) thrown = undefined;
    } catch (error) {
      const message = errorText(error);
      // A folder that vanished or a full disk is tried again at the next look, but told once.
      if (message !== thrown) failure = [{ message, file: "folders" }];
      thrown = message;
      loaded = "";
    }
    if (failure && failure.length > 0) tell({ kind: "errors", errors: failure });
    await sleep(intervalMs);
  }
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `startLoader` is the only one that starts this thread
await run(workerData as Start);
