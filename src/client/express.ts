/** `remit/client/express`: middleware that lets a request pass only with a permit. It needs nothing but Node's own types. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { enforce, type EnforceOptions, forbiddenBody } from "./enforce.ts";

export { type EnforceOptions, type ForbiddenBody, grantOf } from "./enforce.ts";

/** Middleware as Express 4 and 5, and Connect, take it. */
export type ExpressGuard<R extends IncomingMessage> = (
  request: R,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

/** Asks before the handler runs, denies with 403, and settles the hold once the answer is out; `grantOf(req)` is the grant. */
export const expressGuard =
  <R extends IncomingMessage = IncomingMessage>(options: EnforceOptions<R>): ExpressGuard<R> =>
  async (request, response, next) => {
    try {
      const opened = await enforce(options, request);
      if (!opened.decision) {
        response.statusCode = 403;
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(forbiddenBody(opened)));
        return;
      }
      if (response.destroyed || response.closed) {
        opened.cancel("the client left before it ran");
        await opened.finish();
        return;
      }
      response.once("close", () => void opened.finish());
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
