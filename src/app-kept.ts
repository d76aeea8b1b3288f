/** What is kept, over the thread that keeps it: the ledger, and what of it is held in memory. */
import { type AgentDirectory, createDirectory } from "./agent/directory.ts";
import { createFreshness, type Freshness, type Shared } from "./app-fresh.ts";
import { startWriter, type Writer } from "./app-thread.ts";
import { traceCommit } from "./app-trace.ts";
import type { Config } from "./config/config.ts";
import type { Epochs } from "./decision/store.ts";
import { createWorlds, type Worlds } from "./decision/worlds.ts";
import { createEntityDirectory, type EntityDirectory } from "./entity/directory.ts";
import { type CallerList, createCallerList } from "./identity/caller-list.ts";
import type { Micros } from "./kit/clock.ts";
import type { Calls } from "./kit/thread.ts";
import type { Publisher } from "./ledger/anchor.ts";
import { connectLedger, type ThreadedLedger } from "./store/acts/threaded.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracer } from "./telemetry/trace.ts";

/** What tells of the service. */
export type Telemetry = { log: Logger; metrics: Metrics; tracer: Tracer | undefined };

export type Kept = {
  writer: Writer;
  ledger: ThreadedLedger;
  worlds: Worlds;
  agents: AgentDirectory;
  entities: EntityDirectory;
  callers: CallerList;
  /** What is known of what others change; undefined where nobody else shares the ledger. */
  freshness: Freshness | undefined;
  /** Whether this process does what one alone should; undefined where there is only one. */
  lead: (() => Promise<boolean>) | undefined;
  /** From now on what others change is in force here, too. */
  share: (loader: Shared["loader"]) => void;
};

/** A policy set that nothing needs any more is forgotten by the judge. */
export const retire = (
  { calls }: Pick<Writer, "calls">,
  log: Logger,
  policySet: string,
  worlds: number,
): void =>
  void calls
    .call("retire", { policySet, worlds })
    .catch((error: unknown) => log.warn({ err: error }, "retire"));

type Connected = Pick<Kept, "ledger" | "worlds" | "freshness">;

const connect = (
  { queueActsMax, answerMsMax, store, staleMsMax }: Config,
  calls: Calls,
  { log, metrics, tracer }: Telemetry,
): Connected => {
  const connected = connectLedger(calls, {
    queueActsMax,
    waitMsMax: answerMsMax,
    watch: {
      trace: tracer?.current,
      committed: (seen) => {
        metrics.committed(seen);
        if (tracer) traceCommit(seen);
      },
    },
  });
  const worlds = createWorlds((policySet, count) => retire({ calls }, log, policySet, count));
  if (store === undefined) return { ledger: connected, worlds, freshness: undefined };
  const freshness = createFreshness({ calls, worlds, ledger: connected, staleMsMax, log });
  return { ledger: freshness.guarded(connected), worlds, freshness };
};

/**
 * Starts the thread and reads what is held in memory. `pagesMax` bounds the ledger's file, in database pages; `undo` is told
 * how to end it.
 */
export const openKept = async (
  config: Config,
  telemetry: Telemetry,
  {
    publisher,
    pagesMax,
    undo,
  }: { publisher: Publisher; pagesMax: number | undefined; undo: (() => unknown)[] },
): Promise<Kept> => {
  const { log, metrics } = telemetry;
  const ears: { heard: Freshness["heard"] } = { heard: () => undefined };
  const heard: Freshness["heard"] = (...news) => ears.heard(...news);
  const writer = startWriter(config, pagesMax, { log, metrics, publisher, heard });
  undo.push(() => writer.worker.terminate());
  const { calls } = writer;
  const { ledger, worlds, freshness } = connect(config, calls, telemetry);
  // Counted before anything is read: what changes meanwhile is read again.
  const epochs = freshness && (await calls.call<Epochs>("epochs", undefined));
  if (freshness) {
    freshness.setAhead(await calls.call<Micros>("ahead", undefined));
    ears.heard = freshness.heard;
  }
  const agents = await createDirectory(ledger, worlds.keep, worlds.keepReach);
  const entities = await createEntityDirectory(ledger, worlds.keepEntities);
  const callers = await createCallerList(config.callers, ledger);
  return {
    writer,
    ledger,
    worlds,
    agents,
    entities,
    callers,
    freshness,
    lead: freshness && (() => calls.call<boolean>("lead", undefined)),
    share: (loader) => {
      if (!freshness || !epochs) return;
      freshness.start({ agents, callers, entities, loader }, epochs);
    },
  };
};
