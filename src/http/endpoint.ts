/** What every endpoint does alike: the request's id in and out, errors in one form, bugs logged and never shown. */
import { randomUUID } from "node:crypto";
import type { Context, Handler, Hono } from "hono";
import type { Asker } from "../decision/prepare.ts";
import type { Caller } from "../identity/caller.ts";
import { Problem, type ProblemCode } from "../kit/problem.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Api, Metrics } from "../telemetry/metrics.ts";
import { epochMs, type Trace, type Tracer } from "../telemetry/trace.ts";
import { type Answer, problemAnswer } from "./answer.ts";
import { clientAddress } from "./client-address.ts";
import { header } from "./headers.ts";

export type Request = {
  requestId: string;
  traceId?: string;
  idempotencyKey?: string;
  /** To be called once it is known who asks and what. */
  parsed: () => void;
  /** Where traces are collected. */
  trace?: Trace;
};

/** Who asks, and how the request was named, for the rooms that answer. */
export const askerOf = (caller: Caller, { requestId, traceId, idempotencyKey }: Request): Asker => ({
  caller,
  requestId,
  ...(traceId === undefined ? {} : { traceId }),
  ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
});

export type Endpoint = (c: Context, request: Request) => Answer | Promise<Answer>;

/** What may stand in a header and in a log line alike. */
export const requestIdPattern: RegExp = /^[\x20-\x7e]{1,256}$/;

/**
 * W3C Trace Context §3.2: version, trace id, parent id, flags. Version ff and ids of zeros are invalid; what follows
 * the flags is for later versions only.
 */
const traceparent =
  /^(?!ff)(?:00(?=.{53}$)|(?!00)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

const traceIdOf = (c: Context): string | undefined => traceparent.exec(header(c, "traceparent") ?? "")?.[1];

/** @throws Problem `invalid_request` for a key that no one would recognise again */
const idempotencyKeyOf = (c: Context): string | undefined => {
  const key = header(c, "idempotency-key");
  if (key !== undefined && !requestIdPattern.test(key))
    throw new Problem("invalid_request", "Idempotency-Key must be 1 to 256 visible ASCII characters", {
      field: "idempotency-key",
    });
  return key;
};

/**
 * For browsers that come across an answer: it is what it says, runs nothing, and is shown in no frame and to no other site.
 * There is no `Access-Control-Allow-…`: no page of another site may ask. An answer may say otherwise of itself.
 */
const protective = {
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
} as const;

export type HandlerParts = {
  log: Logger;
  metrics: Metrics;
  tracer?: Tracer | undefined;
  /** How many proxies in front are believed where a request came from. */
  proxyHops?: number;
};

const beginTrace = (c: Context, tracer: Tracer, route: string): Trace => {
  const [traceparent, tracestate] = [header(c, "traceparent"), header(c, "tracestate")];
  return tracer.begin({
    method: c.req.method,
    route,
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  });
};

/** Turns an endpoint into a handler that always answers. */
export const handlerOf =
  ({ log, metrics, tracer, proxyHops = 0 }: HandlerParts) =>
  (endpoint: Endpoint, api: Api = "other", route = ""): Handler =>
  async (c) => {
    const trace = tracer && beginTrace(c, tracer, route);
    const started = performance.now();
    const given = header(c, "x-request-id");
    const acceptable = given === undefined || requestIdPattern.test(given);
    const requestId = acceptable ? (given ?? randomUUID()) : randomUUID();
    const traceId = traceIdOf(c);
    const answer = await answerTo(c, { log, proxyHops, requestId }, () => {
      if (!acceptable)
        throw new Problem("invalid_request", "X-Request-ID must be 1 to 256 visible ASCII characters", {
          field: "x-request-id",
        });
      const idempotencyKey = idempotencyKeyOf(c);
      const request: Request = {
        requestId,
        parsed: () => {
          metrics.parsed(performance.now() - started);
          trace?.stage("parse", performance.timeOrigin + started, epochMs());
        },
        ...(traceId === undefined ? {} : { traceId }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        ...(trace ? { trace } : {}),
      };
      return tracer && trace ? tracer.run(trace, () => endpoint(c, request)) : endpoint(c, request);
    });
    metrics.answered(api, answer.status, performance.now() - started);
    trace?.end(answer.status);
    return new Response(c.req.method === "HEAD" ? null : answer.body, {
      status: answer.status,
      headers: {
        ...protective,
        ...answer.headers,
        "X-Request-ID": requestId,
        ...(trace ? { Traceresponse: trace.traceparent } : {}),
      },
    });
  };

/** Who asks without leave, or too often: somebody may want to know where from. */
const turnedAway: ReadonlySet<ProblemCode> = new Set(["unauthenticated", "forbidden", "rate_limited"]);

const answerTo = async (
  c: Context,
  { log, proxyHops, requestId }: { log: Logger; proxyHops: number; requestId: string },
  endpoint: () => Answer | Promise<Answer>,
): Promise<Answer> => {
  try {
    return await endpoint();
  } catch (error) {
    if (error instanceof Problem) {
      const { code, status, detail } = error;
      if (status >= 500) log.error({ requestId, code, err: error }, detail);
      else if (turnedAway.has(code))
        log.info({ requestId, code, client: clientAddress(c, proxyHops) }, "a request was turned away");
      return problemAnswer(error);
    }
    log.error(
      { requestId, method: c.req.method, path: c.req.path, err: error },
      "a request failed unexpectedly",
    );
    return problemAnswer(new Problem("internal", "the service failed to answer; the log has the details"));
  }
};

/** Adds an endpoint to the application; `api` tells its time apart from others'. */
export type Add = (
  app: Hono,
  method: "get" | "post" | "put" | "patch" | "delete",
  path: string,
  endpoint: Endpoint,
  api?: Api,
) => void;
