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

/** How often it is asked who leads, where several share the ledger. */
const leadMs = 1000;

/** Streams where one process alone should: as long as this one leads. */
const startLedStreams = (
  config: Config,
  { ledger, log }: Pick<BackgroundParts, "ledger" | "log">,
  lead: () => Promise<boolean>,
): Streams => {
  let streams: Streams | undefined;
  let asking: Promise<void> | undefined;
  const ask = async (): Promise<void> => {
    const leads = await lead().catch(() => false);
    if (leads && !streams) streams = startStreams(config, ledger, log);
    if (leads || !streams) return;
    const led = streams;
    streams = undefined;
    await led.stop(0);
  };
  // Who is away for long isn't asked again before it has answered.
  const timer = setInterval(() => {
    asking ??= ask()
      .catch((error: unknown) => log.error({ err: error }, "streams of entries"))
      .finally(() => (asking = undefined));
  }, leadMs).unref();
  return {
    checks: async () => (await streams?.checks()) ?? {},
    stop: async (graceMs) => {
      clearInterval(timer);
      await asking;
      await streams?.stop(graceMs);
    },
  };
};

export type BackgroundParts = {
  ledger: StreamStore & Pick<LedgerStore, "prune">;
  outbox: OutboxStore;
  clock: Clock;
  log: Logger;
  /** Whether this process does what one alone should; undefined where there is only one. */
  lead: (() => Promise<boolean>) | undefined;
};

/** Starts; alerts that are in the outbox from before go first. */
export const startBackground = (
  config: Config,
  { ledger, outbox, clock, log, lead }: BackgroundParts,
): Background => {
  const delivery = createDelivery({
    store: outbox,
    sinks: config.alerts,
    clock,
    log: (event) => log.info({ event }, "alert delivery"),
  });
  delivery.start();
  const streams =
    lead && config.sinks.length > 0
      ? startLedStreams(config, { ledger, log }, lead)
      : startStreams(config, ledger, log);
  const retention = startRetention(config, {
    ledger,
    clock,
    tell: (pruned) => log.info({ pruned }, "old entries were pruned to their hashes"),
    failed: (error) => log.error({ err: error }, "old entries can't be pruned"),
    lead,
  });
  return {
    checks: streams.checks,
    stop: async (graceMs) => {
      retention.stop();
      await Promise.all([delivery.stop(graceMs), streams.stop(graceMs)]);
    },
  };
};
