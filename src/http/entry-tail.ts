/**
 * Entries as they come, by server-sent events. Each event bears its entry's index, so whoever is cut off goes on from
 * there with `Last-Event-ID` and misses none.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Problem } from "../kit/problem.ts";
import type { EntryFilter, EntryView, LedgerStore } from "../ledger/store.ts";
import type { Answer } from "./answer.ts";

type Source = Pick<LedgerStore, "entries">;

export type Tails = {
  /**
   * A tail of what a filter asks for: after its cursor, else from its `from` on, else what comes from now on.
   * @throws Problem `overloaded` where too many are open
   */
  open: (ledger: Source, filter: EntryFilter) => Promise<Answer>;
  /** Ends them all, for the service to stop. */
  close: () => void;
};

const tailsMax = 32;
const lookMs = 250;
/** Proxies cut connections on which nothing is sent. */
const signOfLifeMs = 15_000;
const pageEntries = 200;

const eventOf = (entry: EntryView): string =>
  `id: ${entry.index}\nevent: entry\ndata: ${JSON.stringify(entry)}\n\n`;

/** Where a tail begins: after this index, or at the beginning of the ledger. */
const beginning = async (ledger: Source, { cursor, from }: EntryFilter): Promise<number | undefined> => {
  if (cursor !== undefined || from !== undefined) return cursor;
  const { entries } = await ledger.entries({ order: "desc", limit: 1 });
  return entries[0]?.index;
};

export const createTails = (): Tails => {
  const open = new Set<AbortController>();
  const streamOf = (
    ledger: Source,
    filter: EntryFilter,
    start: number | undefined,
    ended: AbortController,
  ) => {
    const bytes = new TextEncoder();
    let cursor = start;
    let told = performance.now();
    /** What is new, or after a while a sign of life. */
    const next = async (): Promise<string> => {
      for (;;) {
        const after = cursor === undefined ? {} : { cursor };
        const { entries } = await ledger.entries({ ...filter, ...after, order: "asc", limit: pageEntries });
        cursor = entries.at(-1)?.index ?? cursor;
        if (entries.length > 0) return entries.map(eventOf).join("");
        if (performance.now() - told >= signOfLifeMs) return ": \n\n";
        await sleep(lookMs, undefined, { signal: ended.signal });
      }
    };
    const end = (): void => {
      open.delete(ended);
      ended.abort();
    };
    return new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes.encode("retry: 1000\n\n")),
      pull: async (controller) => {
        try {
          const text = await next();
          told = performance.now();
          controller.enqueue(bytes.encode(text));
        } catch {
          // Whether it was ended or can't go on: who listens comes again, and is told then what is wrong.
          end();
          controller.close();
        }
      },
      cancel: end,
    });
  };
  return {
    open: async (ledger, filter) => {
      if (open.size >= tailsMax) throw new Problem("overloaded", `${tailsMax} tails are open`);
      const ended = new AbortController();
      open.add(ended);
      try {
        const stream = streamOf(ledger, filter, await beginning(ledger, filter), ended);
        const headers = { "Content-Type": "text/event-stream", "Cache-Control": "no-store" };
        return { status: 200, body: stream, headers };
      } catch (error) {
        open.delete(ended);
        throw error;
      }
    },
    close: () => {
      for (const ended of open) ended.abort();
    },
  };
};
