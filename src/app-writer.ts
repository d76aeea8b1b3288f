/**
 * The thread that judges and writes: ledger and engine side by side, so that a decision and its entry are one act and
 * neither a slow disk nor a heavy policy holds up the thread that talks HTTP.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { startEngine } from "./app-engine.ts";
import type { Alert } from "./alert/alert.ts";
import type { Sink } from "./alert/sink.ts";
import { admit, createHolds, createJudge } from "./decision/judge.ts";
import type { FromJudge, ToJudge } from "./decision/loader.ts";
import type { Judge } from "./decision/question.ts";
import { createRecorder } from "./decision/recording.ts";
import type { Bound } from "./decision/store.ts";
import { assert } from "./kit/assert.ts";
import { type Clock, systemClock } from "./kit/clock.ts";
import type { Budget } from "./budget/budget.ts";
import { uuidv7 } from "./kit/id.ts";
import { Problem } from "./kit/problem.ts";
import { isMasked, keepsAll, type Recording } from "./ledger/recording.ts";
import { serveCalls } from "./kit/thread.ts";
import { readLedgerKeys } from "./ledger/key-file.ts";
import { createConditionEngine } from "./policy/condition-engine.ts";
import type { Engine, EngineMode } from "./policy/engine.ts";
import type { CompiledPolicy } from "./policy/policy-set.ts";
import { type Ledger, openLedger } from "./store/sqlite/ledger.ts";
import { ledgerHandlers, type Stopwatch } from "./store/sqlite/threaded.ts";

/** `data` holds the ledger's keys; `known` are checkpoints that were published. */
export type WriterStart = {
  file: string;
  data: string;
  known: readonly string[];
  engine: EngineMode;
  /** How often the ends of chains are logged while entries come. */
  headsIntervalMs: number;
  pagesMax?: number;
  sinks: readonly Sink[];
  recording: Recording;
  /** For digests; of no length where none are made. */
  recordingKey: Uint8Array;
};

/** What the thread tells on its own: a judgement that broke, an alert that was raised, an engine that tripped and on which policy set, a checkpoint that was signed. */
export type WriterNews =
  | { warning: string }
  | { alert: string; type: string; severity: string }
  | { tripped: string }
  | { mismatch: string }
  | { checkpoint: string };

const lapseIntervalMs = 500;

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

type Kept = { ledger: Ledger; recording: Recording };

/** An account bears the value of what its budget is per: a mask could not keep it from the disk. */
const toldOf = (recording: Recording, { id, per }: Budget): { budget: string; message: string }[] =>
  per
    .filter((path) => isMasked(recording, questionPath(path)))
    .map((path) => ({
      budget: id,
      message: `\`${id}\` counts per \`${path}\`, which \`recording.mask\` keeps from the disk`,
    }));

/** Where in a question an attribute path of a budget looks. */
const questionPath = (path: string): string[] => {
  const [root = "", ...names] = path.split(".");
  return ["subject", "resource", "action"].includes(root) ? [root, "properties", ...names] : [root, ...names];
};

/** Takes policy sets in from the loader: kept durably first, so that whatever they decide can be judged again. */
const takePolicies = (
  port: MessagePort,
  engine: Pick<Engine, "install">,
  { ledger, recording }: Kept,
): void => {
  let policies: CompiledPolicy[] = [];
  const activate = ({ activated, budgets }: Extract<ToJudge, { kind: "activate" }>): FromJudge => {
    const told = budgets.flatMap((budget) => toldOf(recording, budget));
    if (told.length > 0) {
      policies = [];
      return { budgets: told };
    }
    try {
      const refused = ledger.activate(activated, budgets);
      if (refused.length > 0) policies = [];
      return { budgets: refused };
    } catch (cause) {
      policies = [];
      if (cause instanceof Problem && cause.code === "conflict")
        return { problem: { code: cause.code, detail: cause.detail } };
      const detail = `the ledger can't keep the policy set: ${errorText(cause)}`;
      return { problem: { code: "ledger_unavailable", detail } };
    }
  };
  const take = (message: ToJudge): FromJudge => {
    switch (message.kind) {
      case "policies":
        policies.push(...message.policies);
        return {};
      case "activate":
        return activate(message);
      case "install": {
        const { digest, actions, schema } = message;
        engine.install({ digest, policies, actions, schema });
        policies = [];
        return {};
      }
    }
  };
  port.on("message", (message: ToJudge) => port.postMessage(take(message)));
};

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

/** More would have to be judged in one commit than fit in any: what wasn't taken is given up. */
const lapsMax = 100_000;

/** A judge that notes how long it took, until it is asked. */
const timedJudge = (judge: Judge): { judge: Judge; stopwatch: Stopwatch } => {
  let laps: number[] = [];
  return {
    judge: (facts, balances) => {
      const from = performance.now();
      const verdict = judge(facts, balances);
      if (laps.length < lapsMax) laps.push(performance.now() - from);
      return verdict;
    },
    stopwatch: {
      take: () => {
        const taken = laps;
        laps = [];
        return taken;
      },
    },
  };
};

const start = (given: WriterStart): void => {
  const {
    file,
    data,
    known,
    engine: mode,
    pagesMax,
    sinks,
    headsIntervalMs,
    recording,
    recordingKey,
  } = given;
  assert(parentPort, "the writer runs in a thread");
  const port = parentPort;
  const clock = systemClock();
  const news = (told: WriterNews): void => port.postMessage(told);
  const warn = (warning: string): void => news({ warning });
  const tell = ({ title, text, type, severity }: Alert): void =>
    news({ alert: `${title}: ${text}`, type, severity });
  const engine = startEngine(
    { mode, data, clock, withheld: !keepsAll(recording) },
    {
      onTripped: (tripped) => news({ tripped }),
      onTrip: (trip) => {
        news({ mismatch: trip.policySet });
        try {
          ledger.tripEngine(trip);
        } catch (error) {
          warn(`the trip can't be recorded: ${errorText(error)}`);
        }
      },
    },
  );
  const conditions = createConditionEngine(engine);
  const { judge, stopwatch } = timedJudge(createJudge(engine));
  const bound: Bound = {
    judge,
    admit,
    holds: createHolds(conditions),
    recorder: createRecorder(recording, recordingKey),
    get engine() {
      return engine.mode();
    },
  };
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
    connect: (loader: MessagePort) => takePolicies(loader, conditions, { ledger, recording }),
    retire: ({ policySet, worlds }: { policySet: string; worlds: number }) =>
      conditions.retire(policySet, worlds),
    selfTest: () => engine.selfTest(),
  });
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the app is the only one that starts this thread
start(workerData as WriterStart);
