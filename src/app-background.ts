/** What the service does of itself behind the answers: it delivers alerts, streams entries and prunes old ones. */
import { createDelivery } from "./alert/deliver.ts";
import type { OutboxStore } from "./alert/store.ts";
import { startRetention } from "./app-retention.ts";
import { startStreams, type Streams } from "./app-streams.ts";
import type { Config } from "./config/config.ts";
import type { Clock } from "./kit/clock.ts";
import type { LedgerStore } from "./ledger/store.ts";
import type { StreamStore } from "./ledger/stream.ts";
import type { Logger } from "./telemetry/log.ts";

export type Background = Pick<Streams, "checks"> & {
  /** Ends what is under way, or leaves it for the next start after `graceMs`. */
  stop: (graceMs: number) => Promise<void>;
};

export type BackgroundParts = {
  ledger: StreamStore & Pick<LedgerStore, "prune">;
  outbox: OutboxStore;
  clock: Clock;
  log: Logger;
};

/** Starts; alerts that are in the outbox from before go first. */
export const startBackground = (
  config: Config,
  { ledger, outbox, clock, log }: BackgroundParts,
): Background => {
  const delivery = createDelivery({
    store: outbox,
    sinks: config.alerts,
    clock,
    log: (event) => log.info({ event }, "alert delivery"),
  });
  delivery.start();
  const streams = startStreams(config, ledger, log);
  const retention = startRetention(config, {
    ledger,
    clock,
    tell: (pruned) => log.info({ pruned }, "old entries were pruned to their hashes"),
    failed: (error) => log.error({ err: error }, "old entries can't be pruned"),
  });
  return {
    checks: streams.checks,
    stop: async (graceMs) => {
      retention.stop();
      await Promise.all([delivery.stop(graceMs), streams.stop(graceMs)]);
    },
  };
};
