/**
 * The thread that judges and writes: ledger and engine side by side, so that a decision and its entry are one act and
 * neither a slow disk nor a heavy policy holds up the thread that talks HTTP.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { Sink } from "./alert/sink.ts";
import { errorText, type JudgingStart, startJudging, takePolicies, voicesOf } from "./app-judging.ts";
import type { Epochs } from "./decision/store.ts";
import { assert } from "./kit/assert.ts";
import { type Clock, type Micros, systemClock } from "./kit/clock.ts";
import { uuidv7 } from "./kit/id.ts";
import { Problem } from "./kit/problem.ts";
import { serveCalls } from "./kit/thread.ts";
import { readLedgerKeys } from "./ledger/key-file.ts";
import { type Ledger, openLedger } from "./store/sqlite/ledger.ts";
import { ledgerHandlers } from "./store/sqlite/threaded.ts";

/** `known` are checkpoints that were published. */
export type WriterStart = JudgingStart & {
  file: string;
  known: readonly string[];
  /** How often the ends of chains are logged while entries come. */
  headsIntervalMs: number;
  pagesMax?: number;
  sinks: readonly Sink[];
};

/** What the thread tells on its own: a judgement that broke, an alert that was raised, an engine that tripped and on which policy set, a checkpoint that was signed. */
export type WriterNews =
  | { warning: string }
  | { alert: string; type: string; severity: string }
  | { tripped: string }
  | { mismatch: string }
  | { checkpoint: string }
  /** How often each shared part was changed, as of an instant of this machine; and how far the database's clock is ahead of it. */
  | { epochs: Epochs; heardAt: number; ahead: Micros };

const lapseIntervalMs = 500;

/** What is done again and again, until the ledger is closed. */
const rounds = new Set<NodeJS.Timeout>();

const every = (intervalMs: number, work: () => void): void =>
  void rounds.add(setInterval(work, intervalMs).unref());

const endRounds = (): void => {
  for (const round of rounds) clearInterval(round);
  rounds.clear();
};

const checkpointIntervalMs = 1000;

/** Takes entries into the tree between questions; a long way to go is gone in steps. Gives the newest checkpoint. */
const startTree = (ledger: Ledger, clock: Clock, tell: (news: WriterNews) => void): (() => string) => {
  let published = "";
  const publish = (checkpoint: string): string => {
    if (checkpoint !== published) tell({ checkpoint });
    return (published = checkpoint);
  };
  let failed = "";
  const step = (): void => {
    try {
      const { more, signed } = ledger.integrate(clock());
      failed = "";
      if (signed !== undefined) publish(signed);
      if (more && rounds.size > 0) setImmediate(step);
    } catch (error) {
      const why =
        error instanceof Problem && error.cause !== undefined ? errorText(error.cause) : errorText(error);
      if (why !== failed) tell({ warning: `no checkpoint can be signed: ${why}` });
      failed = why;
    }
  };
  every(checkpointIntervalMs, step);
  const newest = (): string => publish(ledger.checkpoint(clock()));
  newest();
  return newest;
};

const headsLookMsMax = 10_000;

/** Logs the ends of chains from time to time, so that an agent's entries can be shown whole without asking first. */
const startHeads = (
  ledger: Ledger,
  clock: Clock,
  intervalMs: number,
  warn: (warning: string) => void,
): void => {
  const look = (): void => {
    try {
      const at = clock();
      if (!ledger.headsDue(at, intervalMs * 1000)) return;
      ledger.commit([{ kind: "heads", command: { id: uuidv7(at), at, caller: "remit" } }]);
    } catch (error) {
      warn(`the ends of chains can't be logged: ${errorText(error)}`);
    }
  };
  every(Math.min(intervalMs, headsLookMsMax), look);
};

/** A lapse is due whether or not anyone asks. */
const startLapses = (ledger: Ledger, clock: Clock, warn: (warning: string) => void): void => {
  const lapse = (): void => {
    try {
      ledger.lapse(clock());
    } catch (error) {
      warn(`holds can't lapse: ${errorText(error)}`);
    }
  };
  every(lapseIntervalMs, lapse);
};

const start = (given: WriterStart): void => {
  const { file, data, known, pagesMax, sinks, headsIntervalMs } = given;
  assert(parentPort, "the writer runs in a thread");
  const port = parentPort;
  const clock = systemClock();
  const { news, warn, tell } = voicesOf(port);
  const { bound, stopwatch, conditions, selfTest } = startJudging(given, clock, {
    onTripped: (tripped) => news({ tripped }),
    onTrip: (trip) => {
      news({ mismatch: trip.policySet });
      try {
        ledger.tripEngine(trip);
      } catch (error) {
        warn(`the trip can't be recorded: ${errorText(error)}`);
      }
    },
  });
  const ledger: Ledger = openLedger(file, bound, {
    warn,
    tell,
    sinks,
    tree: { keys: readLedgerKeys(data), known, at: clock() },
    ...(pagesMax === undefined ? {} : { pagesMax }),
  });
  const checkpoint = startTree(ledger, clock, news);
  startHeads(ledger, clock, headsIntervalMs, warn);
  startLapses(ledger, clock, warn);
  serveCalls(port, {
    ...ledgerHandlers(ledger, stopwatch),
    checkpoint,
    close: () => {
      endRounds();
      checkpoint();
      ledger.close();
    },
    connect: (loader: MessagePort) =>
      takePolicies(loader, conditions, { activate: ledger.activate, recording: given.recording }),
    retire: ({ policySet, worlds }: { policySet: string; worlds: number }) =>
      conditions.retire(policySet, worlds),
    selfTest,
  });
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the app is the only one that starts this thread
start(workerData as WriterStart);
