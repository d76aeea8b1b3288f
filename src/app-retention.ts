/** Retention as the CLI and the service's own schedule need it: pruning step by step, legal holds, finished exports. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Config } from "./config/config.ts";
import { Problem } from "./kit/problem.ts";
import { type Clock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import type { LedgerStore, LegalHold, LegalHoldScope, Pruned } from "./ledger/store.ts";

export type PruneWish = { before: number } | { beforeAt: number };

type LegalHoldWish = { reason: string } & (
  | ({ action: "add" } & LegalHoldScope)
  | { action: "lift"; hold: string }
);

/** Retention of a ledger, wherever it is. */
export type Retention = {
  /** Prunes a step. */
  prune: (wish: PruneWish) => Promise<Pruned>;
  legalHolds: () => Promise<LegalHold[]>;
  changeLegalHold: (wish: LegalHoldWish) => Promise<LegalHold>;
};

/** Between two steps questions go first. */
const pauseMs = 20;

/** Prunes all that is asked for; how many entries that were, and before which index all are pruned now. */
export const pruneAll = async (
  step: () => Promise<Pruned>,
  progress: (done: number) => void = () => undefined,
): Promise<{ entries: number; before: number }> => {
  let entries = 0;
  for (;;) {
    const { before, more, ...done } = await step();
    entries += done.entries;
    progress(entries);
    if (!more) return { entries, before };
    await sleep(pauseMs);
  }
};

const lookMs = 3_600_000;
const dayMicros = 86_400_000_000;

/** Prunes what is older than the configured days, was exported and isn't held, once an hour. */
export const startRetention = (
  { retentionDays }: Config,
  {
    ledger,
    clock,
    tell,
    failed,
    lead,
  }: {
    ledger: Pick<LedgerStore, "prune">;
    clock: Clock;
    tell: (pruned: { entries: number; before: number }) => void;
    failed: (error: unknown) => void;
    /** Whether this process is the one that prunes; undefined where there is only one. */
    lead?: (() => Promise<boolean>) | undefined;
  },
): { stop: () => void } => {
  if (retentionDays === undefined) return { stop: () => undefined };
  const state = { stopped: false };
  const step = (): Promise<Pruned> => {
    if (state.stopped) throw new Problem("not_ready", "the service stops");
    const at = clock();
    const beforeAt = at - retentionDays * dayMicros;
    return ledger.prune({ id: uuidv7(at), at, caller: "remit", asFarAsMayBe: true, beforeAt });
  };
  const run = async (): Promise<void> => {
    try {
      if (lead && !(await lead())) return;
      const pruned = await pruneAll(async () => step());
      if (pruned.entries > 0) tell(pruned);
    } catch (error) {
      if (!state.stopped) failed(error);
    }
  };
  const timer = setInterval(() => void run(), lookMs).unref();
  void run();
  return {
    stop: () => {
      state.stopped = true;
      clearInterval(timer);
    },
  };
};
