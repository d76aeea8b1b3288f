/** What every endpoint does alike: the request's id in and out, errors in one form, bugs logged and never shown. */
import { randomUUID } from "node:crypto";
import type { Context, Handler, Hono } from "hono";
import { Problem } from "../kit/problem.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { type Answer, problemAnswer } from "./answer.ts";
import { header } from "./headers.ts";

export type Request = { requestId: string; traceId?: string; idempotencyKey?: string };

export type Endpoint = (c: Context, request: Request) => Answer | Promise<Answer>;

/** What may stand in a header and in a log line alike. */
const requestIdPattern = /^[\x20-\x7e]{1,256}$/;

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

/** Turns an endpoint into a handler that always answers. */
export const handlerOf =
  (log: Logger, metrics: Metrics) =>
  (endpoint: Endpoint): Handler =>
  async (c) => {
    const given = header(c, "x-request-id");
    const acceptable = given === undefined || requestIdPattern.test(given);
    const requestId = acceptable ? (given ?? randomUUID()) : randomUUID();
    const traceId = traceIdOf(c);
    const answer = await answerTo(c, log, requestId, async () => {
      if (!acceptable)
        throw new Problem("invalid_request", "X-Request-ID must be 1 to 256 visible ASCII characters", {
          field: "x-request-id",
        });
      const idempotencyKey = idempotencyKeyOf(c);
      return endpoint(c, {
        requestId,
        ...(traceId === undefined ? {} : { traceId }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      });
    });
    metrics.answered(answer.status);
    return new Response(c.req.method === "HEAD" ? null : answer.body, {
      status: answer.status,
      headers: { ...answer.headers, "X-Request-ID": requestId },
    });
  };

const answerTo = async (
  c: Context,
  log: Logger,
  requestId: string,
  endpoint: () => Promise<Answer>,
): Promise<Answer> => {
  try {
    return await endpoint();
  } catch (error) {
    if (error instanceof Problem) {
      if (error.status >= 500) log.error({ requestId, code: error.code, err: error }, error.detail);
      return problemAnswer(error);
    }
    log.error(
      { requestId, method: c.req.method, path: c.req.path, err: error },
      "a request failed unexpectedly",
    );
    return problemAnswer(new Problem("internal", "the service failed to answer; the log has the details"));
  }
};

/** Adds an endpoint to the application. */
export type Add = (
  app: Hono,
  method: "get" | "post" | "put" | "patch" | "delete",
  path: string,
  endpoint: Endpoint,
) => void;
