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

  const send = (message: ToJudge): void => judge.postMessage(message);

  /** Hands the policies to the judge and waits until it holds them durably. */
  const install = async ({ set, source, head, placeOfBudget }: Snapshot): Promise<LoadError[]> => {
    const answer = new Promise<FromJudge>((resolve) => judge.once("message", resolve));
    for (const policies of parts(set.policies)) send({ kind: "policies", policies });
    send({ kind: "keep", digest: set.digest, source, budgets: head.book.budgets });
    send({ kind: "install", digest: set.digest, actions: set.actions });
    const { error, budgets = [] } = await answer;
    if (error !== undefined) throw new Error(error);
    return budgets.map(({ budget, message }) => ({ message, ...placeOfBudget(budget) }));
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
