/**
 * The thread that judges and writes to a PostgreSQL ledger that other processes share: the engine beside the ledger's acts, as
 * with SQLite; and it hears what the others change.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { Sink } from "./alert/sink.ts";
import { errorText, type JudgingStart, startJudging, takePolicies, voicesOf } from "./app-judging.ts";
import type { WriterNews } from "./app-writer.ts";
import { assert } from "./kit/assert.ts";
import { type Clock, forwardClock, steadyMicros } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { Problem } from "./kit/problem.ts";
import { serveCalls } from "./kit/thread.ts";
import { readLedgerKeys } from "./ledger/key-file.ts";
import { type Ahead, createAhead } from "./store/postgres/ahead.ts";
import { startEars } from "./store/postgres/ears.ts";
import { type Ledger, openLedger } from "./store/postgres/ledger.ts";
import { ledgerHandlers } from "./store/postgres/threaded.ts";

/** `known` are checkpoints that were published. */
export type ReplicaStart = JudgingStart & {
  url: string;
  known: readonly string[];
  /** How often the ends of chains are logged while entries come. */
  headsIntervalMs: number;
  sinks: readonly Sink[];
};

type News = (news: WriterNews) => void;

/** Work that is done again and again, one at a time; what fails is said once. */
const rounds = new Set<NodeJS.Timeout>();

const every = (intervalMs: number, what: string, news: News, work: () => Promise<void>): void => {
  let busy = false;
  let failed = "";
  const round = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      await work();
      failed = "";
    } catch (error) {
      // What a caller is told hides the cause: whoever operates needs it.
      const why = errorText(error instanceof Problem ? (error.cause ?? error) : error);
      if (why !== failed) news({ warning: `${what}: ${why}` });
      failed = why;
    } finally {
      busy = false;
    }
  };
  rounds.add(setInterval(() => void round(), intervalMs).unref());
};

const endRounds = (): void => {
  for (const round of rounds) clearInterval(round);
  rounds.clear();
};

const checkpointIntervalMs = 1000;
const lapseIntervalMs = 500;
const headsLookMsMax = 10_000;
const epochsIntervalMs = 500;

/** Tells of every change, by whomever; and that it would have heard of one. */
const startHearing = (
  { url, ledger, ahead }: { url: string; ledger: Ledger; ahead: Ahead },
  news: News,
): { close: () => Promise<void> } => {
  let due = false;
  let asking = false;
  const ask = async (): Promise<void> => {
    due = true;
    if (asking) return;
    asking = true;
    try {
      while (due) {
        due = false;
        const at = steadyMicros();
        const epochs = await ledger.epochs();
        news({ epochs, heardAt: at, ahead: ahead.now() });
      }
    } catch {
      // Whoever waits for news sees that none come.
    } finally {
      asking = false;
    }
  };
  rounds.add(setInterval(() => void ask(), epochsIntervalMs).unref());
  every(epochsIntervalMs, "the database's clock can't be read", news, ahead.look);
  return startEars(url, () => void ask());
};

/** Takes entries into the tree, lapses holds and logs the ends of chains: each of the processes does it when it is due. */
const startUpkeep = (
  ledger: Ledger,
  clock: Clock,
  headsIntervalMs: number,
  news: News,
): (() => Promise<string>) => {
  let published = "";
  const publish = (checkpoint: string): string => {
    if (checkpoint !== published) news({ checkpoint });
    return (published = checkpoint);
  };
  every(checkpointIntervalMs, "no checkpoint can be signed", news, async () => {
    const signed = await ledger.integrate(clock());
    if (signed !== undefined) publish(signed);
  });
  every(lapseIntervalMs, "holds can't lapse", news, async () => void (await ledger.lapse(clock())));
  every(Math.min(headsIntervalMs, headsLookMsMax), "the ends of chains can't be logged", news, async () => {
    const at = clock();
    if (!(await ledger.headsDue(at, headsIntervalMs * 1000))) return;
    await ledger.perform({ kind: "heads", command: { id: uuidv7(at), at, caller: "remit" } });
  });
  return async () => publish(await ledger.checkpoint(clock()));
};

const start = async (given: ReplicaStart): Promise<void> => {
  const { url, data, known, sinks, headsIntervalMs } = given;
  assert(parentPort, "the writer runs in a thread");
  const port = parentPort;
  const clock = forwardClock(() => steadyMicros() + ahead.now());
  const { news, warn, tell } = voicesOf(port);
  const { bound, stopwatch, conditions, selfTest } = startJudging(given, clock, {
    onTripped: (tripped) => news({ tripped }),
    onTrip: (trip) => {
      news({ mismatch: trip.policySet });
      ledger
        .tripEngine(trip)
        .catch((error: unknown) => warn(`the trip can't be recorded: ${errorText(error)}`));
    },
  });
  const ledger = await openLedger(url, bound, {
    warn,
    tell,
    sinks,
    tree: { keys: readLedgerKeys(data), known },
  });
  const ahead = createAhead(ledger.time);
  await ahead.look();
  const checkpoint = startUpkeep(ledger, clock, headsIntervalMs, news);
  const ears = startHearing({ url, ledger, ahead }, news);
  serveCalls(port, {
    ...ledgerHandlers(ledger, stopwatch),
    checkpoint,
    ahead: () => ahead.now(),
    close: async () => {
      endRounds();
      await ears.close();
      // Another process signs what this one can't.
      await checkpoint().catch((error: unknown) => warn(errorText(error)));
      await ledger.close();
    },
    connect: (loader: MessagePort) =>
      takePolicies(loader, conditions, {
        // What was loaded from folders is dated here: the thread that loads has this machine's clock.
        activate: (activated, budgets) =>
          ledger.activate(activated.command ? activated : { ...activated, at: clock() }, budgets),
        recording: given.recording,
      }),
    retire: ({ policySet, worlds }: { policySet: string; worlds: number }) =>
      conditions.retire(policySet, worlds),
    selfTest,
  });
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the app is the only one that starts this thread
await start(workerData as ReplicaStart);
