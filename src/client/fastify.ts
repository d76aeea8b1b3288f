/** `remit/client/fastify`: a `preHandler` hook that lets a request pass only with a permit. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { enforce, type EnforceOptions, forbiddenBody } from "./enforce.ts";

export { type EnforceOptions, type ForbiddenBody, grantOf } from "./enforce.ts";

/** Asks before the handler runs, denies with 403, and settles the hold once the answer is out; `grantOf(request)` is the grant. */
export const fastifyGuard =
  (
    options: EnforceOptions<FastifyRequest>,
  ): ((request: FastifyRequest, reply: FastifyReply) => Promise<void>) =>
  async (request, reply) => {
    const opened = await enforce(options, request);
    if (!opened.decision) {
      await reply.code(403).send(forbiddenBody(opened));
      return;
    }
    if (reply.raw.destroyed || reply.raw.closed) {
      opened.cancel("the client left before it ran");
      await opened.finish();
      // Sent, so that the handler doesn't run; nobody reads it.
      await reply.code(403).send();
      return;
    }
    reply.raw.once("close", () => void opened.finish());
  };
