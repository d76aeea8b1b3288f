/**
 * What others that share the ledger change: agents, callers, entities, and which files are held fast. It is in force here within
 * the moment that the database tells of it; and whoever can't hear of it for too long doesn't decide any more.
 */
import type { AgentDirectory } from "./agent/directory.ts";
import type { DecisionStore, Epochs, SharedPart, TrialStore } from "./decision/store.ts";
import type { Loader } from "./decision/loader.ts";
import type { Worlds } from "./decision/worlds.ts";
import type { EntityDirectory } from "./entity/directory.ts";
import type { Check } from "./http/operations-routes.ts";
import type { CallerList } from "./identity/caller-list.ts";
import { type Micros, steadyMicros } from "./kit/clock.ts";
import { Problem } from "./kit/problem.ts";
import type { Calls } from "./kit/thread.ts";
import type { ThreadedLedger } from "./store/acts/threaded.ts";
import type { Logger } from "./telemetry/log.ts";

/** What is held in memory of what is shared. */
export type Shared = {
  agents: Pick<AgentDirectory, "refresh">;
  callers: Pick<CallerList, "refresh">;
  entities: Pick<EntityDirectory, "refresh">;
  loader: Pick<Loader, "adopt">;
};

type Guarded = DecisionStore & Pick<TrialStore, "tryOut">;

export type Freshness = {
  /** What the writer heard, and when by the steady clock; and how far the database's clock is ahead of the steady one. */
  heard: (epochs: Epochs, at: number, ahead: Micros) => void;
  /** What the database's clock says: it is the one that counts. */
  now: () => Micros;
  /** Takes up how far it is ahead, before anything is dated. */
  setAhead: (ahead: Micros) => void;
  /** Takes up what is held in memory, known up to `epochs`. */
  start: (shared: Shared, epochs: Epochs) => void;
  /** Brings what others changed into force here. */
  refresh: () => Promise<void>;
  /** What `/readyz` says. */
  check: () => Check;
  /** A ledger that nothing is decided with, or tried, where changes can't be heard of. */
  guarded: <T extends Guarded>(ledger: T) => T;
};

export type FreshnessParts = {
  calls: Pick<Calls, "call">;
  worlds: Pick<Worlds, "keepEpochs">;
  ledger: Pick<ThreadedLedger, "standing">;
  staleMsMax: number;
  log: Pick<Logger, "error">;
};

const refused = (): Promise<never> =>
  Promise.reject(
    new Problem(
      "ledger_unavailable",
      "changes by other services can't be heard of: nothing is decided on what may be outdated",
    ),
  );

/** How long nothing may be heard before somebody should look. */
const quietMs = 2000;

/** A clock that is further off than that is nobody's intention. */
const skewMicrosMax = 1_000_000;

/** What happens here is dated by the database's clock; what this machine's says of tokens and logs is its own affair. */
const clockCheck = (skew: Micros): Check => {
  if (Math.abs(skew) <= skewMicrosMax) return { status: "ok" };
  const error = `this machine's clock is ${Math.round(Math.abs(skew) / 1_000_000)} s ${skew > 0 ? "behind" : "ahead of"} the database's, which counts`;
  return { status: "stale", error };
};

const order: readonly SharedPart[] = ["policies", "agents", "entities", "callers"];

/** Runs one at a time; whoever asks while one runs gets one that began afterwards. */
const oneAtATime = (run: () => Promise<void>): (() => Promise<void>) => {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const begin = (): Promise<void> =>
    (running = run().finally(() => {
      running = undefined;
    }));
  return () => {
    if (!running) return begin();
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined;
        return begin();
      });
    return next;
  };
};

export const createFreshness = ({ calls, worlds, ledger, staleMsMax, log }: FreshnessParts): Freshness => {
  let shared: Shared | undefined;
  let known: Epochs = { agents: 0, callers: 0, entities: 0, policies: 0 };
  let heardAt = steadyMicros();
  /** Why what was heard of isn't in force. */
  let failed: string | undefined;
  let ahead = 0;
  const reload: Record<SharedPart, (held: Shared) => Promise<void>> = {
    agents: ({ agents }) => agents.refresh(),
    callers: ({ callers }) => callers.refresh(),
    entities: ({ entities }) => entities.refresh(),
    policies: async ({ loader }) => loader.adopt(await ledger.standing()),
  };
  const take = async (held: Shared): Promise<void> => {
    // What is read after it was counted is at least that new.
    const epochs = await calls.call<Epochs>("epochs", undefined);
    for (const part of order) if (epochs[part] !== known[part]) await reload[part](held);
    known = epochs;
    worlds.keepEpochs(epochs);
    failed = undefined;
  };
  const refresh = oneAtATime(async () => {
    if (shared) await take(shared);
  });
  const now = (): Micros => steadyMicros() + ahead;
  const isDeaf = (): boolean => steadyMicros() - heardAt > staleMsMax * 1000;
  return {
    now,
    setAhead: (told) => {
      ahead = told;
    },
    heard: (epochs, at, told) => {
      ahead = told;
      if (failed === undefined) heardAt = Math.max(heardAt, at);
      if (!shared || order.every((part) => epochs[part] === known[part])) return;
      refresh().catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        if (why !== failed) log.error({ err: error }, "what others changed can't be taken over yet");
        // What was heard of and isn't in force counts as not heard.
        failed = why;
      });
    },
    start: (held, epochs) => {
      shared = held;
      known = epochs;
      worlds.keepEpochs(epochs);
    },
    refresh,
    check: () => {
      const quiet = steadyMicros() - heardAt;
      if (quiet <= quietMs * 1000) return clockCheck(now() - Date.now() * 1000);
      const error = `nothing was heard of other services for ${Math.round(quiet / 1_000_000)} s`;
      return { status: isDeaf() ? "failed" : "stale", error };
    },
    guarded: (ledgerOf) => ({
      ...ledgerOf,
      decide: (act) => (isDeaf() ? refused() : ledgerOf.decide(act)),
      tryOut: (facts) => (isDeaf() ? refused() : ledgerOf.tryOut(facts)),
    }),
  };
};
