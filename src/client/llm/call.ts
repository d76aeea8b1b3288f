/** One call from a permission to its settlement: what leaves, what comes back, and what is charged when either breaks off. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { isObject, type JsonObject } from "../../kit/json.ts";
import type { Call, Dialect, Endpoint, StreamReader } from "./dialect.ts";
import { eventsOf } from "./events.ts";
import type { Meter } from "./meter.ts";
import { Refusal } from "./refusal.ts";
import { readWhole, type Upstream, wasNeverSent } from "./upstream.ts";

/** Why a running call is cut. */
export type Cut = "agent_stopped" | "hold_closed" | "shutdown" | "disconnected";

export type Sending = {
  endpoint: Endpoint;
  dialect: Dialect;
  call: Call;
  /** What is sent, after its cap. */
  body: JsonObject;
  path: string;
  headers: Readonly<Record<string, string>>;
  meter: Meter;
  response: ServerResponse;
  /** Ends everything that this call has to do with the upstream. */
  cut: AbortController;
  /** Headers of every answer to this call. */
  extra: Readonly<Record<string, string>>;
};

export type SendingLimits = {
  answerBytesMax: number;
  eventBytesMax: number;
  /** How long a stream is still read for its usage when nobody listens any more. */
  readOnMs: number;
  /** How long a listener may take nothing of what waits for it. */
  silenceMs: number;
  /** Further tries of a call that was not taken up. */
  retries: number;
};

const cutTexts: Record<Cut, string> = {
  agent_stopped: "this agent has been stopped by an operator; do not retry",
  hold_closed: "what was reserved for this call was withdrawn; do not retry",
  shutdown: "the proxy is stopping",
  disconnected: "the client went away",
};

const isCut = (reason: unknown): reason is Cut => typeof reason === "string" && reason in cutTexts;

export const cutRefusal = (reason: unknown): Refusal => {
  const cut = isCut(reason) ? reason : "shutdown";
  return cut === "shutdown"
    ? new Refusal(503, cut, cutTexts[cut], { retryAfterSeconds: 1 })
    : new Refusal(403, cut, cutTexts[cut]);
};

/** A settlement takes a moment; an answer waits for it so long, that the agent's next call meets the new balance. */
const settleWaitMs = 250;

const soon = async (settled: Promise<void>): Promise<void> => {
  const stop = new AbortController();
  await Promise.race([settled, sleep(settleWaitMs, undefined, { signal: stop.signal }).catch(() => {})]);
  stop.abort();
};

/** The headers of the provider that the agent gets to see. */
const answerHeaders = (answer: IncomingMessage, { dialect, extra }: Sending): Record<string, string> => {
  const passed = Object.entries(answer.headers).filter(
    ([name, value]) =>
      typeof value === "string" &&
      (dialect.answerHeaders.test(name) || /^(?:retry-after(?:-ms)?|x-should-retry)$/.test(name)),
  );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the others were taken out
  return { ...Object.fromEntries(passed as [string, string][]), ...extra };
};

/** Statuses by which a provider says that it did nothing. Any other failure may have been billed. */
const didNothing = (status: number): boolean =>
  (status >= 300 && status < 500) || status === 503 || status === 529;

const retryWaitMs = (answer: IncomingMessage): number => {
  const seconds = Number(answer.headers["retry-after"] ?? "0.25");
  return Number.isFinite(seconds) ? Math.min(2000, Math.max(50, seconds * 1000)) : 250;
};

/**
 * Sends it, once more where it was not taken up: under the same hold, since such an attempt uses nothing.
 * @throws Refusal where no answer came
 */
const attempt = async (
  sending: Sending,
  upstream: Upstream,
  { retries }: SendingLimits,
): Promise<IncomingMessage> => {
  const { path, headers, body, cut, meter } = sending;
  const request = { method: "POST", path, headers, body: JSON.stringify(body), signal: cut.signal } as const;
  for (let left = retries; ; left--) {
    try {
      const answer = await upstream.send(request);
      if (left === 0 || (answer.statusCode !== 503 && answer.statusCode !== 529)) return answer;
      answer.resume();
      await sleep(retryWaitMs(answer), undefined, { signal: cut.signal });
    } catch (error) {
      if (cut.signal.aborted) {
        void meter.settle(undefined);
        throw cutRefusal(cut.signal.reason);
      }
      if (!wasNeverSent(error)) {
        void meter.settle(undefined);
        throw new Refusal(
          502,
          "upstream_failed",
          "the provider gave no answer; what was reserved is charged",
        );
      }
      if (left === 0) {
        void meter.release("the request was never sent");
        throw new Refusal(502, "upstream_unreachable", "the provider can't be reached", {
          retryAfterSeconds: 1,
        });
      }
      await sleep(250);
    }
  }
};

/** Answers that show the provider's account, or lead elsewhere, stay here. */
const hiddenStatus = (status: number): Refusal | undefined => {
  if (status === 401 || status === 403)
    return new Refusal(
      502,
      "upstream_refused",
      "the provider refused the proxy's own key; tell your operator",
    );
  if (status >= 300 && status < 400)
    return new Refusal(502, "upstream_redirected", "the provider redirected, which is not followed");
  return undefined;
};

const errorAnswer = async (
  answer: IncomingMessage,
  sending: Sending,
  limits: SendingLimits,
): Promise<void> => {
  const { meter, response } = sending;
  const status = answer.statusCode ?? 502;
  const settled = didNothing(status)
    ? meter.release(`the provider answered ${status}`)
    : meter.settle(undefined);
  const hidden = hiddenStatus(status);
  if (hidden) {
    answer.destroy();
    await soon(settled);
    throw hidden;
  }
  const body = await readWhole(answer, limits.answerBytesMax).catch(() => Buffer.from("{}"));
  await soon(settled);
  response.writeHead(status, {
    ...answerHeaders(answer, sending),
    "content-type": "application/json",
    "content-length": body.length,
  });
  response.end(body);
};

const wholeAnswer = async (
  answer: IncomingMessage,
  sending: Sending,
  limits: SendingLimits,
): Promise<void> => {
  const { meter, endpoint, response, cut } = sending;
  let body: Buffer;
  let usage: JsonObject | undefined;
  try {
    body = await readWhole(answer, limits.answerBytesMax);
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    usage = isObject(parsed) ? endpoint.usage(parsed) : undefined;
  } catch {
    await soon(meter.settle(undefined));
    if (cut.signal.aborted) throw cutRefusal(cut.signal.reason);
    throw new Refusal(
      502,
      "upstream_failed",
      "the provider's answer can't be read; what was reserved is charged",
    );
  }
  await soon(meter.settle(usage));
  response.writeHead(200, {
    ...answerHeaders(answer, sending),
    "content-type": "application/json",
    "content-length": body.length,
  });
  response.end(body);
};

/** Writes at the pace of the reader. Whoever is gone, or stands still, reads nothing more. */
const write = async (
  response: ServerResponse,
  text: string,
  cut: AbortController,
  silenceMs: number,
): Promise<void> => {
  if (response.closed || response.destroyed || response.write(text)) return;
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  response.once("close", stop);
  cut.signal.addEventListener("abort", stop, { once: true });
  const standing = setTimeout(() => cut.abort("disconnected"), silenceMs);
  await once(response, "drain", { signal: gone.signal }).catch(() => {});
  clearTimeout(standing);
  response.off("close", stop);
  cut.signal.removeEventListener("abort", stop);
};

const relay = async (
  answer: IncomingMessage,
  reader: StreamReader,
  { response, meter, cut }: Sending,
  { eventBytesMax, silenceMs }: SendingLimits,
): Promise<void> => {
  for await (const event of eventsOf(answer as AsyncIterable<Uint8Array>, eventBytesMax)) {
    const { forward, last } = reader.take(event);
    if (last) await soon(meter.settle(reader.usage()));
    if (forward) await write(response, event, cut, silenceMs);
    if (cut.signal.aborted) break;
  }
};

const streamAnswer = async (
  answer: IncomingMessage,
  sending: Sending,
  limits: SendingLimits,
): Promise<void> => {
  const { call, endpoint, meter, response, cut } = sending;
  const reader = call.reader();
  // Nobody listens any more: a short rest is read for its exact usage, a long one is not worth its price.
  let patience: NodeJS.Timeout | undefined;
  const loseListener = (): void => {
    if (!response.writableFinished) patience ??= setTimeout(() => cut.abort("disconnected"), limits.readOnMs);
  };
  response.once("close", loseListener);
  if (response.closed) loseListener();
  response.writeHead(200, {
    ...answerHeaders(answer, sending),
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
  });
  response.flushHeaders();
  let broken = false;
  try {
    await relay(answer, reader, sending, limits);
  } catch {
    broken = true;
  }
  clearTimeout(patience);
  const stopped = cut.signal.aborted;
  const whole = !stopped && !broken && answer.complete;
  // What was told before a cut or a break is not all that was used.
  await soon(meter.settle(whole ? reader.usage() : undefined));
  if (stopped && !answer.destroyed) answer.destroy();
  if (response.closed) return;
  // Nothing more gets through to a listener that stands still.
  if (stopped && response.writableNeedDrain) response.destroy();
  else if (stopped) response.end(endpoint.errorEvent(cutRefusal(cut.signal.reason)));
  else if (!whole) response.destroy();
  else response.end();
};

/** Sends a call that was permitted, answers with what comes back, and settles. @throws Refusal where nothing was answered yet */
export const sendCall = async (
  sending: Sending,
  upstream: Upstream,
  limits: SendingLimits,
): Promise<void> => {
  const answer = await attempt(sending, upstream, limits);
  answer.on("error", () => {});
  const type = answer.headers["content-type"] ?? "";
  if (answer.statusCode !== 200) await errorAnswer(answer, sending, limits);
  else if (/^text\/event-stream\b/i.test(type)) await streamAnswer(answer, sending, limits);
  else await wholeAnswer(answer, sending, limits);
};
