/** What the middlewares of all frameworks share: a request becomes a question, and a denial an answer that tells no secrets. */
import type { Client } from "./client.ts";
import { type Denial, denialOf } from "./decision.ts";
import { failure } from "./fault.ts";
import type { Grant, OpenGrant } from "./grant.ts";
import type { Question } from "./question.ts";

/** `R` is the framework's request. */
export type EnforceOptions<R> = {
  client: Client;
  /** What this request means. Where it throws, the request is denied. */
  question: (request: R) => Question | Promise<Question>;
  /** Sees each denial before it is answered: for the log, and for obligations of the denial. */
  onDenied?: (denial: Denial, request: R) => void | Promise<void>;
};

/** The answer to a request that was denied. */
export type ForbiddenBody = { status: 403; code: "forbidden"; message: string };

const grants = new WeakMap<object, Grant>();

/** The grant of a request (Hono: of the context) behind one of the middlewares: its permit with the obligations, its hold. */
export const grantOf = (request: object): Grant | undefined => grants.get(request);

/** Asks for a request. A denial is final; an open grant is the middleware's to finish. */
export const enforce = async <R extends object>(
  { client, question, onDenied }: EnforceOptions<R>,
  request: R,
): Promise<Denial | OpenGrant> => {
  const asked = async (): Promise<Denial | OpenGrant> => {
    let what: Question;
    try {
      what = await question(request);
    } catch (error) {
      return denialOf(failure("invalid_question", `the request has no question: ${String(error)}`).fault, "");
    }
    return client.open(what);
  };
  const opened = await asked();
  if (opened.decision) grants.set(request, opened);
  else await onDenied?.(opened, request);
  return opened;
};

/** The PDP's text for the user; what went wrong between client and PDP is the operator's business. */
export const forbiddenBody = ({ source, message }: Denial): ForbiddenBody => ({
  status: 403,
  code: "forbidden",
  message: source === "pdp" ? message : "the request could not be authorized",
});
