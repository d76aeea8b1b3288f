/** What the service tells the ledger of itself: each start, and who reads. */
import type { Loading } from "./app-loading.ts";
import type { Config } from "./config/config.ts";
import { configDigest, describeConfig } from "./config/load.ts";
import type { Worlds } from "./decision/worlds.ts";
import { createReads, type Reads } from "./http/ledger-reads.ts";
import type { Clock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { version } from "./kit/version.ts";
import type { ThreadedLedger } from "./store/acts/threaded.ts";
import type { Logger } from "./telemetry/log.ts";

/** Reads as they are counted; `end` tells what is left. */
export type CountedReads = Reads & { end: () => Promise<void> };

/** How often it is looked whether reads are to be told. */
const readsIntervalMs = 30_000;

/** Counts who reads the ledger, and tells it from time to time and at the end. */
export const startReads = (ledger: ThreadedLedger, clock: Clock, log: Logger): CountedReads => {
  const reads = createReads(ledger, clock);
  const tell = async (which: "due" | "all"): Promise<void> => {
    try {
      await reads.tell(which);
    } catch (error) {
      log.error({ err: error }, "reads of the ledger can't be told yet");
    }
  };
  const timer = setInterval(() => void tell("due"), readsIntervalMs);
  timer.unref();
  return {
    ...reads,
    end: async () => {
      clearInterval(timer);
      await tell("all");
    },
  };
};

type StartParts = { ledger: ThreadedLedger; worlds: Worlds; loading: Loading; clock: Clock };

/** Every start is an entry: which version, under which configuration, with what in force. */
export const noteStart = async (
  config: Config,
  { ledger, worlds, loading, clock }: StartParts,
): Promise<void> => {
  const at = clock();
  const { policySet, entitiesDigest } = worlds.current().head;
  await ledger.note({
    id: uuidv7(at),
    at,
    caller: "remit",
    note: "service.start",
    facts: {
      version: version(),
      policy_set: policySet,
      entities: entitiesDigest,
      config: configDigest(config),
      bundle: loading.inForce?.bundle ?? "",
      engine: config.engine,
    },
    detail: { configuration: describeConfig(config) },
  });
};
