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

/** The newest checkpoint that the anchor took, as this machine has it. */
export const anchoredFile = (data: string): string => join(data, "ledger.anchored");

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

/** How it stands with the anchor. `size` is of the newest checkpoint that it took; `failing` while it takes none. */
export type Anchored = { size: number; failing?: { since: Date; attempts: number; error: string } };

export type Publisher = {
  /** Publishes a checkpoint after those before it. */
  publish: (checkpoint: string) => void;
  /** Undefined where no anchor is configured. */
  anchored: () => Anchored | undefined;
  /** Resolves when nothing is under way; what waits to be tried again is left to the next start. */
  settled: () => Promise<void>;
};

export type PublisherParts = {
  /** Hears of what could not be published, once for each cause, and of an anchor that takes checkpoints again. */
  failed: (error: unknown) => void;
  recovered?: () => void;
  /** How long after so many failed attempts in a row the next is made. */
  delayMs?: (attempts: number) => number;
};

const delayMsMin = 1000;
const delayMsMax = 60_000;

/** Twice as long after each failure, up to a minute, and up to a fifth more, so that many services don't come at once. */
const usualDelayMs = (attempts: number): number =>
  Math.min(delayMsMax, delayMsMin * 2 ** Math.min(attempts - 1, 10)) * (1 + Math.random() / 5);

const sizeOf = (checkpoint: string): number => Number(checkpoint.split("\n")[1] ?? 0);

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Brings checkpoints to the anchor, the newest that there is: it covers those before it, so after an outage one is enough.
 */
const createAnchoring = (
  data: string,
  anchor: Anchor,
  { failed, recovered = () => undefined, delayMs = usualDelayMs }: PublisherParts,
) => {
  const kept = anchoredFile(data);
  const state: Anchored = { size: existsSync(kept) ? sizeOf(readFileSync(kept, "utf8")) : 0 };
  let waiting: string | undefined;
  let working: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const end = { stopped: false };
  const failing = (error: unknown): void => {
    const before = state.failing;
    const text = errorText(error);
    if (text !== before?.error) failed(error);
    const attempts = (before?.attempts ?? 0) + 1;
    state.failing = { since: before?.since ?? new Date(), attempts, error: text };
    timer = setTimeout(() => {
      timer = undefined;
      start();
    }, delayMs(attempts)).unref();
  };
  const work = async (): Promise<void> => {
    for (let next = waiting; next !== undefined && !end.stopped; next = waiting) {
      waiting = undefined;
      try {
        await send(anchor, next);
        state.size = Math.max(state.size, sizeOf(next));
        if (state.failing) recovered();
        delete state.failing;
        await replaceFile(kept, next);
      } catch (error) {
        waiting ??= next;
        failing(error);
        break;
      }
    }
    working = undefined;
  };
  const start = (): void => {
    if (timer === undefined && !end.stopped) working ??= work();
  };
  return {
    add: (checkpoint: string): void => {
      waiting = checkpoint;
      start();
    },
    state: (): Anchored => ({ ...state }),
    settled: async (): Promise<void> => {
      await working;
      end.stopped = true;
      clearTimeout(timer);
    },
  };
};

/** A publisher. While it is at work on one checkpoint, only the newest of those that come waits. */
export const createPublisher = (
  data: string,
  anchor: Anchor | undefined,
  parts: PublisherParts,
): Publisher => {
  const anchoring = anchor && createAnchoring(data, anchor, parts);
  let waiting: string | undefined;
  let working: Promise<void> | undefined;
  const work = async (): Promise<void> => {
    for (let next = waiting; next !== undefined; next = waiting) {
      waiting = undefined;
      try {
        await replaceFile(checkpointFile(data), next);
        anchoring?.add(next);
      } catch (error) {
        parts.failed(error);
      }
    }
    working = undefined;
  };
  return {
    publish: (checkpoint) => {
      waiting = checkpoint;
      working ??= work();
    },
    anchored: () => anchoring?.state(),
    settled: async () => {
      await working;
      await anchoring?.settled();
    },
  };
};
