/** `remit/client/hono`: middleware that lets a request pass only with a permit. */
import type { Context, Env, MiddlewareHandler } from "hono";
import { enforce, type EnforceOptions, forbiddenBody } from "./enforce.ts";

export { type EnforceOptions, type ForbiddenBody, grantOf } from "./enforce.ts";

/** Calls `ended` when the body was read to its end, broke or was given up. */
const whenRead = (
  body: ReadableStream<Uint8Array>,
  ended: () => Promise<unknown>,
): ReadableStream<Uint8Array> => {
  const reader = body.getReader();
  return new ReadableStream({
    pull: async (controller) => {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      await ended();
    },
    cancel: async (reason) => {
      await reader.cancel(reason).catch(() => {});
      await ended();
    },
  });
};

/** Asks before the handler runs, denies with 403, and settles the hold once the answer is out; `grantOf(c)` is the grant. */
export const honoGuard =
  <E extends Env = Env>(options: EnforceOptions<Context<E>>): MiddlewareHandler<E> =>
  async (c, next) => {
    const opened = await enforce(options, c);
    if (!opened.decision) return c.json(forbiddenBody(opened), 403);
    let streams = false;
    try {
      await next();
      const { body } = c.res;
      // Hono drops the body of an answer to HEAD unread.
      if (opened.hold() === undefined || body === null || c.req.method === "HEAD") return;
      // A stream may still report what it consumed.
      c.res = new Response(whenRead(body, opened.finish), c.res);
      streams = true;
    } finally {
      if (!streams) await opened.finish();
    }
  };
