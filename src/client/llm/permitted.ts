/** Calls that need a permission: metered ones are held, capped, sent and settled; free ones are only asked about. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { JsonObject } from "../../kit/json.ts";
import type { Hold, Permit } from "../decision.ts";
import type { Question } from "../question.ts";
import type { KnownAgent } from "./agents.ts";
import { type Cut, cutRefusal, sendCall, type SendingLimits } from "./call.ts";
import { type Desk, type LlmProxyOptions, usual } from "./desk.ts";
import type { Call, Endpoint } from "./dialect.ts";
import { type Meter, openMeter } from "./meter.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { questionOf } from "./request.ts";
import { readWhole } from "./upstream.ts";

/** What may be sent under a permit: the body as it is, or with its output capped. @throws Refusal */
const permittedBody = (permit: Permit, call: Call): JsonObject => {
  const { hold, obligations } = permit;
  const caps = obligations.map(({ properties }) => properties?.["max_output_tokens"]);
  if (!caps.every((cap) => typeof cap === "number" && Number.isSafeInteger(cap) && cap >= 0))
    throw unusable();
  const most = Math.min(call.outputTokensMax, ...caps.map(Number));
  // A permit that reserved less than the call may use is none for this call.
  const held = hold?.amounts ?? {};
  if (hold === undefined || (held["input_tokens"] ?? 0) < call.inputTokensMax) throw unusable();
  if ((held["output_tokens"] ?? 0) < most) throw unusable();
  const body = most === call.outputTokensMax ? call.body : call.capped(most);
  if (body === undefined)
    throw new Refusal(
      403,
      "budget_exhausted",
      `The budget buys only ${most} more output tokens, too few for this call. Ask for less or stop; do not retry.`,
    );
  return body;
};

const cutWith = (desk: Desk, cut: AbortController, reason: Cut, named: Named): void => {
  if (cut.signal.aborted) return;
  desk.tell({ event: "cut", ...named, reason });
  cut.abort(reason);
};

/** How events name a call. */
type Named = { agent: string; model: string };

export type Asked = { endpoint: Endpoint; path: string; request: IncomingMessage; response: ServerResponse };

/** Headers for the provider. @throws Refusal for what may not pass */
export const headersFor = (
  { dialect, options, rules }: Desk,
  request: IncomingMessage,
): Record<string, string> => {
  const { upstreamKey } = options;
  const key = typeof upstreamKey === "function" ? upstreamKey() : upstreamKey;
  return dialect.upstreamHeaders(key, request.headers, rules.allow);
};

/** The meter of a permitted call, whose end the proxy waits for when it stops. */
const meterOf = (desk: Desk, hold: Hold, question: Question, cut: AbortController, named: Named): Meter => {
  const { client, options, rules, settling, tell } = desk;
  const of = { ...named, hold: hold.id };
  const meter = openMeter({
    client,
    hold,
    question,
    beatMs: options.beatMs ?? usual.beatMs,
    allow: rules.allow,
    onClosed: () => cutWith(desk, cut, "hold_closed", named),
    onSettled: (state) => tell({ event: "settled", ...of, reason: state }),
    onUnpriced: ({ message }) => tell({ event: "unpriced", ...of, message }),
    onUnsettled: (error) => tell({ event: "unsettled", ...of, message: String(error) }),
  });
  const tracked = (settled: Promise<void>): Promise<void> => {
    settling.add(settled);
    void settled.finally(() => settling.delete(settled));
    return settled;
  };
  return {
    settle: (usage) => tracked(meter.settle(usage)),
    release: (reason) => tracked(meter.release(reason)),
  };
};

const unusable = (): Refusal =>
  new Refusal(503, "authorization_unavailable", "the permit can't be used, so the call was not sent");

/** What may be sent, or the end of the hold. @throws Refusal */
const bodyFor = (decision: Permit, call: Call, meter: Meter, response: ServerResponse): JsonObject => {
  try {
    if (response.closed) throw cutRefusal("disconnected");
    return permittedBody(decision, call);
  } catch (error) {
    void meter.release("the call was not sent");
    throw error;
  }
};

/** An answer that came too late may have reserved something: asked again under its key, the hold is found and released. */
const giveBack = async ({ client }: Desk, question: Question, idempotencyKey: string): Promise<void> => {
  const late = await client.evaluate(question, { idempotencyKey });
  if (!late.decision || late.hold === undefined) return;
  // Where this fails too, the hold lapses.
  await client.holds.release(late.hold.id, "the answer came too late").catch(() => {});
};

/** A call that may consume: asked, held, capped, sent, settled. @throws Refusal */
export const meteredCall = async (desk: Desk, asked: Asked, agent: KnownAgent, call: Call): Promise<void> => {
  const { endpoint, path, request, response } = asked;
  const headers = headersFor(desk, request);
  const question = questionOf(desk, request, agent, call, false);
  const idempotencyKey = randomUUID();
  const decision = await desk.client.evaluate(question, { idempotencyKey });
  if (!decision.decision) {
    if (decision.source === "client") void giveBack(desk, question, idempotencyKey);
    throw refusalOf(decision);
  }
  if (decision.hold === undefined) throw unusable();
  const named = { agent: agent.id, model: call.model };
  const cut = new AbortController();
  const meter = meterOf(desk, decision.hold, question, cut, named);
  desk.running.add(cut);
  const unwatch = desk.agents.watch(agent, () => cutWith(desk, cut, "agent_stopped", named));
  try {
    const body = bodyFor(decision, call, meter, response);
    const extra = {
      ...(decision.decisionId === undefined ? {} : { "remit-decision": decision.decisionId }),
      "remit-run": question.remit?.run ?? "",
    };
    await sendCall(
      { endpoint, dialect: desk.dialect, call, body, path, headers, meter, response, cut, extra },
      desk.upstream,
      limitsOf(desk.options),
    );
  } finally {
    unwatch();
    desk.running.delete(cut);
    // Whatever broke on the way may have been used: no hold stays open behind a call.
    void meter.settle(undefined);
  }
};

const limitsOf = ({
  readOnMs = usual.readOnMs,
  retries = usual.retries,
  silenceMs = usual.silenceMs,
}: LlmProxyOptions): SendingLimits => ({
  answerBytesMax: usual.answerBytesMax,
  eventBytesMax: usual.eventBytesMax,
  readOnMs,
  retries,
  silenceMs,
});

/** A call that consumes nothing still needs a permission. */
export const freeCall = async (desk: Desk, asked: Asked, agent: KnownAgent, call: Call): Promise<void> => {
  const { request, response, path } = asked;
  const headers = headersFor(desk, request);
  const decision = await desk.client.evaluate(questionOf(desk, request, agent, call, true));
  if (!decision.decision) throw refusalOf(decision);
  const signal = AbortSignal.timeout(desk.options.silenceMs ?? usual.silenceMs);
  const body = JSON.stringify(call.body);
  const answer = await desk.upstream.send({ method: "POST", path, headers, body, signal });
  await answerPlainly(answer, response);
};

/** @throws Refusal for what shows the provider's account */
const answerPlainly = async (answer: IncomingMessage, response: ServerResponse): Promise<void> => {
  const status = answer.statusCode ?? 502;
  const text = await readWhole(answer, usual.answerBytesMax);
  if (status >= 300 && status !== 400 && status !== 404 && status !== 429)
    throw new Refusal(502, "upstream_failed", `the provider answered ${status}`);
  response.writeHead(status, { "content-type": "application/json", "content-length": text.length });
  response.end(text);
};
