/** One attempt to tell a sink of an alert: rendered in the sink's format, signed, posted, and what came of it. */
import { uuidv7 } from "../kit/id.ts";
import type { Clock, Micros } from "../kit/clock.ts";
import { type Resolve, resolveHost } from "./address.ts";
import { type Alert, alertId } from "./alert.ts";
import { retryAfterMicros } from "./backoff.ts";
import { post } from "./post.ts";
import { slackBody, webhookBody } from "./render.ts";
import { sign } from "./sign.ts";
import { openSink, type Sink } from "./sink.ts";

export type SendOptions = {
  clock: Clock;
  /** How names are resolved; usually by the system. */
  resolve?: Resolve;
  /** Longest time for one attempt. */
  timeoutMs?: number;
  stop?: AbortSignal;
};

export type Attempt =
  | { ok: true; status: number }
  | {
      ok: false;
      error: string;
      /** Absent where there was no answer. */
      status?: number;
      /** How long the receiver asks to be left alone. */
      putOffMicros?: number;
    };

const usualTimeoutMs = 15_000;

/** How long an overloaded receiver is left alone that doesn't say it. */
const usualPutOffMicros = 5_000_000;
const overloaded: ReadonlySet<number> = new Set([429, 502, 504]);

/** Several addresses tried in vain come as one error without words of its own. */
const errorText = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorText).join("; ");
  return error instanceof Error ? error.message : String(error);
};

const headersOf = (
  alert: Alert,
  body: string,
  now: Micros,
  secrets: readonly Uint8Array[],
): Readonly<Record<string, string>> =>
  secrets.length === 0 ? {} : sign({ id: alert.id, atSeconds: Math.floor(now / 1_000_000), body }, secrets);

/** Tells a sink of an alert, once. Never throws: what goes wrong is in the outcome. */
export const attemptAlert = async (
  sink: Sink,
  alert: Alert,
  {
    clock,
    resolve = resolveHost,
    timeoutMs = usualTimeoutMs,
    stop = new AbortController().signal,
  }: SendOptions,
): Promise<Attempt> => {
  try {
    const { url, secrets } = await openSink(sink);
    const body = sink.format === "slack" ? slackBody(alert) : webhookBody(alert);
    const headers = headersOf(alert, body, clock(), secrets);
    const { allowPrivate } = sink;
    const { status, retryAfter, text } = await post(url, {
      headers,
      body,
      allowPrivate,
      resolve,
      timeoutMs,
      stop,
    });
    if (status >= 200 && status < 300) return { ok: true, status };
    const putOffMicros =
      retryAfterMicros(retryAfter, clock()) ?? (overloaded.has(status) ? usualPutOffMicros : undefined);
    const error = `answered ${status}${text === "" ? "" : `: ${text}`}`;
    return { ok: false, error, status, ...(putOffMicros === undefined ? {} : { putOffMicros }) };
  } catch (error) {
    return { ok: false, error: errorText(error) };
  }
};

/** Sends one test alert now, past the outbox and whatever types the sink hears of, and says what came of it. */
export const sendTest = (sink: Sink, options: SendOptions): Promise<Attempt> => {
  const at = options.clock();
  return attemptAlert(
    sink,
    {
      id: alertId("alert.test", [uuidv7(at)]),
      type: "alert.test",
      at,
      severity: "info",
      title: "Test alert",
      text: `Remit can reach the sink \`${sink.name}\`. Nothing has happened, and nothing is to be done.`,
      data: { sink: sink.name },
    },
    options,
  );
};
