/**
 * Delivers the outbox, at least once: each sink has a lane of its own, so that one that is slow, broken or gone never
 * holds up another.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createLane, type Lane, type LaneOptions } from "./lane.ts";
import type { Sink } from "./sink.ts";

export type DeliveryOptions = Omit<LaneOptions, "abandon" | "stopped"> & {
  /** Their names are unique. */
  sinks: readonly Sink[];
  /** How often the outbox is looked at. */
  intervalMs?: number;
};

export type Delivery = {
  /** Looks at the outbox now and then again and again. */
  start: () => void;
  /** Something was just put into the outbox: looks at it without waiting for the next turn. */
  wake: () => void;
  /** Attempts whatever is due now, and waits until that is done. */
  deliverDue: () => Promise<void>;
  /** Takes up nothing new; attempts still open after `graceMs` are given up uncounted, and made again after a restart. */
  stop: (graceMs: number) => Promise<void>;
};

/** Delivers what `store` holds to `sinks`. */
export const createDelivery = (options: DeliveryOptions): Delivery => {
  const { store, sinks, intervalMs = 1000 } = options;
  const ending = new AbortController();
  // Every open attempt listens.
  setMaxListeners(0, ending.signal);
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const laneOptions = { ...options, abandon: ending.signal, stopped: () => stopped };
  const lanes = new Map<string, Lane>();
  const open = (name: string, sink?: Sink): void => void lanes.set(name, createLane(name, sink, laneOptions));
  for (const sink of sinks) open(sink.name, sink);

  let orphansFound = false;
  /** Rows of sinks that were taken out of the configuration get a lane, too, which gives them up. */
  const findOrphans = async (): Promise<void> => {
    if (orphansFound) return;
    for (const name of await store.pendingSinks()) if (!lanes.has(name)) open(name);
    orphansFound = true;
  };

  const deliverDue = async (): Promise<void> => {
    if (stopped) return;
    // When the outbox can't tell its sinks, each lane will find that out, and say so once.
    await findOrphans().catch(() => undefined);
    await Promise.all([...lanes.values()].map((lane) => lane.run()));
  };
  const wake = (): void => void deliverDue();
  return {
    deliverDue,
    wake,
    start: () => {
      timer ??= setInterval(wake, intervalMs).unref();
      wake();
    },
    stop: async (graceMs) => {
      stopped = true;
      clearInterval(timer);
      const idle = Promise.all([...lanes.values()].map(async (lane) => lane.running()));
      const grace = new AbortController();
      const over = sleep(graceMs, undefined, { signal: grace.signal }).catch(() => undefined);
      await Promise.race([idle, over]);
      grace.abort();
      ending.abort();
      await idle;
    },
  };
};
