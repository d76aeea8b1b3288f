/**
 * A sink's own way out of the outbox: rows are attempted a few at a time, and what came of each is written down. What
 * can't be read or isn't taken is put off, and in the end given up, row by row.
 */
import type { Clock, Micros } from "../kit/clock.ts";
import type { Resolve } from "./address.ts";
import { type Alert, readAlert } from "./alert.ts";
import { nextAttemptAt } from "./backoff.ts";
import { type Attempt, attemptAlert } from "./send.ts";
import type { Sink } from "./sink.ts";
import type { DueAlert, OutboxStore } from "./store.ts";

/** What became of a row, as it is written down. `attempts` is how many have failed. */
type Outcome =
  | { kind: "delivered"; at: Micros; attempts: number }
  | { kind: "failed"; nextAt: Micros; attempts: number; error: string }
  | { kind: "dead"; at: Micros; attempts: number; error: string };

/** What delivery tells the log. `sink_disabled` and `outbox_failed` concern more than one alert. */
export type DeliveryEvent =
  | ({ sink: string; id: string } & Outcome)
  | { kind: "sink_disabled"; sink: string; error: string }
  | { kind: "outbox_failed"; sink: string; error: string };

export type LaneOptions = {
  store: OutboxStore;
  clock: Clock;
  log: (event: DeliveryEvent) => void;
  resolve?: Resolve;
  /** In [0, 1): spreads retries. */
  random?: () => number;
  /** Longest time for one attempt. */
  timeoutMs?: number;
  /** Attempts still open are given up, uncounted, and nothing new is taken up. */
  abandon: AbortSignal;
  /** Nothing new is taken up. */
  stopped: () => boolean;
};

export type Lane = {
  /** Works through what is due; while it does, calling it again only waits for it. Never throws. */
  run: () => Promise<void>;
  /** The work going on, if any. */
  running: () => Promise<void> | undefined;
};

type State = {
  name: string;
  /** Absent: nothing is sent, `refusal` says why. */
  sink: Sink | undefined;
  refusal: string;
  /** The receiver asked to be left alone until then. */
  pausedUntil: Micros;
  /** What the store hasn't taken yet, by alert: it is written down again, not sent again. */
  unsaved: Map<string, { row: DueAlert; outcome: Outcome }>;
  /** Why the outbox failed in this pass. */
  failure: string | undefined;
};

/** One look's worth of rows. */
const rowsMax = 100;

/** Attempts of one sink at a time. Slack asks for one message a second, so its lane is narrow. */
const attemptsMax = { webhook: 4, slack: 1 } as const;

/** A row that can't be marked doesn't hold up others; when this many can't be, the store is at fault, and sending rests. */
const unsavedMax = 10;

const gone = 410;

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const readRow = ({ body }: DueAlert): Alert | { fault: string } => {
  try {
    return readAlert(body);
  } catch (error) {
    return { fault: `the alert can't be read: ${errorText(error)}` };
  }
};

const save = (store: OutboxStore, { id, sink }: DueAlert, outcome: Outcome): Promise<void> => {
  switch (outcome.kind) {
    case "delivered":
      return store.alertDelivered({ id, sink, at: outcome.at });
    case "failed": {
      const { attempts, nextAt, error } = outcome;
      return store.alertFailed({ id, sink, attempts, nextAt, error });
    }
    case "dead": {
      const { attempts, at, error } = outcome;
      return store.alertDead({ id, sink, attempts, at, error });
    }
  }
};

/** What to write down of an attempt; what it tells of the receiver is remembered in the lane. */
const outcomeOf = (
  state: State,
  { clock, log, random = Math.random }: LaneOptions,
  row: DueAlert,
  attempt: Attempt,
): Outcome => {
  const at = clock();
  if (attempt.ok) return { kind: "delivered", at, attempts: row.attempts };
  const { error, status, putOffMicros } = attempt;
  const attempts = row.attempts + 1;
  if (status === gone) {
    if (state.sink) log({ kind: "sink_disabled", sink: state.name, error });
    state.sink = undefined;
    state.refusal = `the sink is disabled: it ${error}`;
    return { kind: "dead", at, attempts, error };
  }
  if (putOffMicros !== undefined) state.pausedUntil = at + putOffMicros;
  const nextAt = nextAttemptAt(attempts, at, putOffMicros, random());
  return nextAt === undefined
    ? { kind: "dead", at, attempts, error }
    : { kind: "failed", nextAt, attempts, error };
};

/** Nothing where the attempt was given up because the delivery ends. */
const attempted = async (state: State, options: LaneOptions, row: DueAlert): Promise<Outcome | undefined> => {
  const { clock, abandon } = options;
  const { attempts } = row;
  if (!state.sink) return { kind: "dead", at: clock(), attempts, error: state.refusal };
  const alert = readRow(row);
  if ("fault" in alert) return { kind: "dead", at: clock(), attempts, error: alert.fault };
  const attempt = await attemptAlert(state.sink, alert, { ...options, stop: abandon });
  if (!attempt.ok && abandon.aborted) return undefined;
  return outcomeOf(state, options, row, attempt);
};

const write = async (state: State, store: OutboxStore, row: DueAlert, outcome: Outcome): Promise<void> => {
  try {
    await save(store, row, outcome);
    state.unsaved.delete(row.id);
  } catch (error) {
    state.unsaved.set(row.id, { row, outcome });
    state.failure ??= errorText(error);
  }
};

const settle = async (state: State, options: LaneOptions, row: DueAlert): Promise<void> => {
  const outcome = await attempted(state, options, row);
  if (!outcome) return;
  options.log({ sink: state.name, id: row.id, ...outcome });
  await write(state, options.store, row, outcome);
};

/** Works until nothing is due; a failure of the store ends it at the end of a look, so that it can't go round in circles. */
const pass = async (state: State, options: LaneOptions): Promise<void> => {
  const { store, clock } = options;
  const { name, unsaved } = state;
  const resting = (): boolean =>
    options.stopped() || state.pausedUntil > clock() || unsaved.size >= unsavedMax;
  for (const { row, outcome } of unsaved.values()) await write(state, store, row, outcome);
  do {
    const due = await store.dueAlerts({ sink: name, now: clock(), limit: rowsMax });
    const rows = due.filter(({ id }) => !unsaved.has(id));
    if (rows.length === 0) return;
    const work = async (): Promise<void> => {
      while (!resting()) {
        const row = rows.shift();
        if (!row) return;
        await settle(state, options, row);
      }
    };
    const width = state.sink ? attemptsMax[state.sink.format] : 1;
    await Promise.all(Array.from({ length: width }, work));
  } while (!resting() && state.failure === undefined);
};

/**
 * The lane of a sink. Without one, whatever the outbox holds under the name is given up: the sink was taken out of the
 * configuration. A sink that answers 410 is as good as taken out, until the next start.
 */
export const createLane = (name: string, sink: Sink | undefined, options: LaneOptions): Lane => {
  const refusal = "no sink of this name is configured";
  const state: State = { name, sink, refusal, pausedUntil: 0, unsaved: new Map(), failure: undefined };
  let running: Promise<void> | undefined;
  let told = false;
  const work = async (): Promise<void> => {
    state.failure = undefined;
    try {
      await pass(state, options);
    } catch (error) {
      state.failure = errorText(error);
    }
    const { failure } = state;
    if (failure !== undefined && !told) options.log({ kind: "outbox_failed", sink: name, error: failure });
    told = failure !== undefined;
    running = undefined;
  };
  return {
    run: () => (running ??= work()),
    running: () => running,
  };
};
