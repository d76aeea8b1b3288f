/**
 * What judges inside the acts of a store, whichever it is: the engine beside the ledger, so that a decision and its entry are
 * one act; and how policy sets get there.
 */
import type { MessagePort } from "node:worker_threads";
import type { Alert } from "./alert/alert.ts";
import { startEngine } from "./app-engine.ts";
import type { WriterNews } from "./app-writer.ts";
import type { Budget } from "./budget/budget.ts";
import { admit, createHolds, createJudge } from "./decision/judge.ts";
import type { FromJudge, ToJudge } from "./decision/loader.ts";
import type { Judge } from "./decision/question.ts";
import { createRecorder } from "./decision/recording.ts";
import type { Bound } from "./decision/store.ts";
import type { Clock } from "./kit/clock.ts";
import { Problem } from "./kit/problem.ts";
import { isMasked, keepsAll, type Recording } from "./ledger/recording.ts";
import { createConditionEngine } from "./policy/condition-engine.ts";
import type { Engine, EngineMode } from "./policy/engine.ts";
import type { CompiledPolicy } from "./policy/policy-set.ts";
import type { Activated } from "./policy/store.ts";
import type { BookFault } from "./store/acts/book.ts";
import type { EngineTrip } from "./store/acts/engine-trip.ts";
import type { Stopwatch } from "./store/acts/threaded.ts";

/** What an error says. */
export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a thread that judges tells on its own. */
export type Voices = {
  news: (news: WriterNews) => void;
  warn: (warning: string) => void;
  tell: (alert: Alert) => void;
};

export const voicesOf = (port: MessagePort): Voices => {
  const news: Voices["news"] = (told) => port.postMessage(told);
  return {
    news,
    warn: (warning) => news({ warning }),
    tell: ({ title, text, type, severity }) => news({ alert: `${title}: ${text}`, type, severity }),
  };
};

/** Where policy sets are kept before they decide, and what of questions isn't kept at all. */
export type Keeping = {
  activate: (activated: Activated, budgets: readonly Budget[]) => BookFault[] | Promise<BookFault[]>;
  recording: Recording;
};

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
export const takePolicies = (
  port: MessagePort,
  engine: Pick<Engine, "install">,
  { activate: keep, recording }: Keeping,
): void => {
  let policies: CompiledPolicy[] = [];
  const activate = async ({
    activated,
    budgets,
  }: Extract<ToJudge, { kind: "activate" }>): Promise<FromJudge> => {
    const told = budgets.flatMap((budget) => toldOf(recording, budget));
    if (told.length > 0) {
      policies = [];
      return { budgets: told };
    }
    try {
      const refused = await keep(activated, budgets);
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
  const take = async (message: ToJudge): Promise<FromJudge> => {
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
  // The loader waits for each answer.
  port.on("message", (message: ToJudge) => {
    void take(message).then((answer) => port.postMessage(answer));
  });
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

/** What judging begins with. */
export type JudgingStart = {
  /** Holds the ledger's keys, and the question over which engines differed. */
  data: string;
  engine: EngineMode;
  recording: Recording;
  /** For digests; of no length where none are made. */
  recordingKey: Uint8Array;
};

export type JudgingEvents = {
  onTripped: (tripped: string) => void;
  onTrip: (trip: EngineTrip) => void;
};

export type Judging = {
  bound: Bound;
  stopwatch: Stopwatch;
  conditions: ReturnType<typeof createConditionEngine>;
  selfTest: () => unknown;
};

/** Starts the engine that a store's acts judge with. */
export const startJudging = (
  { data, engine: mode, recording, recordingKey }: JudgingStart,
  clock: Clock,
  events: JudgingEvents,
): Judging => {
  const engine = startEngine({ mode, data, clock, withheld: !keepsAll(recording) }, events);
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
  return { bound, stopwatch, conditions, selfTest: () => engine.selfTest() };
};
