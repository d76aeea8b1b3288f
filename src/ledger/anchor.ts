/**
 * Publishes checkpoints: the newest into the data directory, each to an anchor outside, so that neither a rewritten
 * ledger nor an older copy put back can pass for the one that was signed.
 */
import { appendFile, open, rename } from "node:fs/promises";
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";

/** A file that checkpoints are appended to, or a URL that they are posted to. */
export type Anchor = { file: string } | { url: string };

export const checkpointFile = (data: string): string => join(data, "ledger.checkpoint");

/** Checkpoints in a text, a blank line before each. What was torn off while it was written is none. */
export const checkpointsIn = (text: string): string[] =>
  text.match(/^[^\n]+\n\d+\n[A-Za-z0-9+/]{43}=\n(?:[^\n]+\n)*\n(?:— \S+ [A-Za-z0-9+/]{91}=\n)+/gmu) ?? [];

/** As much of an anchor file as surely holds its last checkpoint. */
const tailBytes = 65_536;

const tailOf = (file: string): string => {
  const { size } = statSync(file);
  const start = Math.max(0, size - tailBytes);
  const bytes = Buffer.alloc(size - start);
  const handle = openSync(file, "r");
  try {
    readSync(handle, bytes, 0, bytes.length, start);
  } finally {
    closeSync(handle);
  }
  return bytes.toString("utf8");
};

/** What was published of this ledger, as far as this machine can tell: it must be continued. */
export const knownCheckpoints = (data: string, anchor: Anchor | undefined): string[] => {
  const own = checkpointFile(data);
  const anchored = anchor && "file" in anchor && existsSync(anchor.file) ? tailOf(anchor.file) : "";
  return [...(existsSync(own) ? [readFileSync(own, "utf8")] : []), ...checkpointsIn(anchored).slice(-1)];
};

export type Publisher = {
  /** Publishes a checkpoint after those before it. */
  publish: (checkpoint: string) => void;
  /** Resolves when nothing is under way. */
  settled: () => Promise<void>;
};

const replaceFile = async (file: string, text: string): Promise<void> => {
  const fresh = `${file}.new`;
  const handle = await open(fresh, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
};

const postMs = 10_000;

const send = async (anchor: Anchor, checkpoint: string): Promise<void> => {
  if ("file" in anchor) return appendFile(anchor.file, `\n${checkpoint}`, { flush: true });
  const response = await fetch(anchor.url, {
    method: "POST",
    headers: { "Content-Type": "text/plain; charset=utf-8" },
    body: checkpoint,
    redirect: "error",
    signal: AbortSignal.timeout(postMs),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the anchor answered ${response.status}`);
};

/** A publisher. While it is at work on one checkpoint, only the newest of those that come waits. */
export const createPublisher = (
  data: string,
  anchor: Anchor | undefined,
  failed: (error: unknown) => void,
): Publisher => {
  let waiting: string | undefined;
  let working: Promise<void> | undefined;
  const work = async (): Promise<void> => {
    for (let next = waiting; next !== undefined; next = waiting) {
      waiting = undefined;
      try {
        await replaceFile(checkpointFile(data), next);
        if (anchor) await send(anchor, next);
      } catch (error) {
        failed(error);
      }
    }
    working = undefined;
  };
  return {
    publish: (checkpoint) => {
      waiting = checkpoint;
      working ??= work();
    },
    settled: async () => {
      await working;
    },
  };
};
