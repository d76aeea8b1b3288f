/**
 * Streams entries to a sink outside, a SIEM or a file: in order, from a cursor that is kept, at least once. What was taken
 * is written down afterwards, so whoever dies in between delivers again; nobody who asks a question waits for it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { EntryView, LedgerStore } from "./store.ts";

/** Where entries go. A path of a file, or a URL that batches are posted to. */
export type StreamSink = { name: string } & (
  | { type: "file"; file: string }
  | { type: "http"; url: string; tokenFile?: string; allowPrivate: boolean }
  | { type: "stdout" }
);

/** Whether a sink took a batch: otherwise why not, and how long it asks to be left alone. */
export type Delivered = { ok: true } | { ok: false; error: string; putOffMs?: number };

/** Brings lines, one entry each, to a sink. Never throws. */
export type Deliver = (lines: readonly string[]) => Promise<Delivered>;

/** Where streams stand. */
export type StreamStore = Pick<LedgerStore, "entries"> & {
  /** The index of the last entry that a sink took; undefined where it took none. */
  streamCursor: (name: string) => Promise<number | undefined>;
  moveStreamCursor: (name: string, index: number) => Promise<void>;
};

export type StreamEvent =
  | { kind: "failing"; sink: string; error: string }
  | { kind: "recovered"; sink: string }
  /** Entries were pruned before the sink had them: they are in the export that pruning asks for. */
  | { kind: "gap"; sink: string; first: number; end: number };

export type StreamStatus = {
  name: string;
  /** The index of the last entry that was taken. */
  cursor?: number;
  failing?: { since: Date; attempts: number };
};

export type Stream = {
  status: () => StreamStatus;
  /** Ends after the batch that is under way, or `graceMs` later without it: it is delivered again then. */
  stop: (graceMs: number) => Promise<void>;
};

export type StreamParts = {
  name: string;
  deliver: Deliver;
  store: StreamStore;
  log: (event: StreamEvent) => void;
  /** How long after so many failed attempts in a row the next is made. */
  delayMs?: (attempts: number) => number;
  /** How often it looks for new entries. */
  lookMs?: number;
};

const batchEntries = 200;
const usualLookMs = 500;

/** Between two batches of a backlog questions go first. */
const pauseMs = 10;

const delayMsMax = 60_000;

const usualDelayMs = (attempts: number): number =>
  Math.min(delayMsMax, 1000 * 2 ** Math.min(attempts - 1, 10)) * (1 + Math.random() / 5);

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

type State = { cursor: number | undefined; known: boolean; failing: StreamStatus["failing"]; error: string };

/** Says which entries the sink will never get. */
const gapBefore = (
  cursor: number | undefined,
  [first]: readonly EntryView[],
): { first: number; end: number } | undefined => {
  const next = (cursor ?? -1) + 1;
  return first && first.index > next ? { first: next, end: first.index } : undefined;
};

/** Starts to stream. A store or a sink that fails is tried again, for ever: nothing is left out. */
export const startStream = (parts: StreamParts): Stream => {
  const { name, deliver, store, log, delayMs = usualDelayMs, lookMs = usualLookMs } = parts;
  const ended = new AbortController();
  const state: State = { cursor: undefined, known: false, failing: undefined, error: "" };

  /** Delivers the next batch; gives how long to wait then. */
  const batch = async (): Promise<number> => {
    if (!state.known) {
      state.cursor = await store.streamCursor(name);
      state.known = true;
    }
    const after = state.cursor === undefined ? {} : { cursor: state.cursor };
    const { entries } = await store.entries({ order: "asc", limit: batchEntries, ...after });
    const last = entries.at(-1)?.index;
    if (last === undefined) return lookMs;
    const gap = gapBefore(state.cursor, entries);
    if (gap && !state.failing) log({ kind: "gap", sink: name, ...gap });
    const delivered = await deliver(entries.map((entry) => JSON.stringify(entry)));
    if (!delivered.ok) throw Object.assign(new Error(delivered.error), { putOffMs: delivered.putOffMs ?? 0 });
    state.cursor = last;
    await store.moveStreamCursor(name, last);
    return entries.length === batchEntries ? pauseMs : lookMs;
  };

  const failed = (error: unknown): number => {
    const text = errorText(error);
    if (text !== state.error) log({ kind: "failing", sink: name, error: text });
    state.error = text;
    // What the store has counts: a cursor that couldn't be written may be written or not.
    state.known = false;
    const { since = new Date(), attempts = 0 } = state.failing ?? {};
    state.failing = { since, attempts: attempts + 1 };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- set above, or absent
    const { putOffMs = 0 } = error as { putOffMs?: number };
    return Math.max(delayMs(attempts + 1), putOffMs);
  };

  const step = async (): Promise<number> => {
    try {
      const waitMs = await batch();
      if (state.failing) log({ kind: "recovered", sink: name });
      state.failing = undefined;
      state.error = "";
      return waitMs;
    } catch (error) {
      return failed(error);
    }
  };

  const run = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const waitMs = await step();
      try {
        await sleep(waitMs, undefined, { signal: ended.signal, ref: false });
      } catch {
        return;
      }
    }
  };
  const running = run();
  return {
    status: () => ({
      name,
      ...(state.cursor === undefined ? {} : { cursor: state.cursor }),
      ...(state.failing ? { failing: state.failing } : {}),
    }),
    stop: async (graceMs) => {
      ended.abort();
      await Promise.race([running, sleep(graceMs, undefined, { ref: false })]);
    },
  };
};
