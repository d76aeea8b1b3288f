/** Why a call is not passed on, in words that the model behind it can act on. */
import type { Denial } from "../decision.ts";

/** Thrown on the way of a call; answered in the provider's own error shape. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** HTTP status of the answer. */
  readonly status: number;
  readonly code: string;
  /** The parameter at fault. */
  readonly param: string | undefined;
  /** Only what may succeed by itself in a moment has one; everything else tells SDKs not to retry. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    more: { param?: string; retryAfterSeconds?: number | undefined } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = more.param;
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

/** A request that says what the proxy doesn't know the price of. `option` is what an operator may allow. */
export const unpricedParameter = (param: string, why: string, option: string = param): Refusal =>
  new Refusal(400, "parameter_not_allowed", `\`${param}\` ${why} (an operator may allow it: ${option})`, {
    param,
  });

export const invalidRequest = (param: string, why: string): Refusal =>
  new Refusal(400, "invalid_request", `\`${param}\` ${why}`, { param });

/** Asking again in a moment is what these are for. */
const passing: ReadonlySet<string> = new Set(["unreachable", "timeout", "http_status"]);

const heldSeconds = 5;

/**
 * The answer to a denial. Only what others hold is a 429, which clients retry; a budget that is used up is a 403, which
 * none retries. Without an answer of the PDP it is 503: nothing was sent to the provider.
 */
export const refusalOf = (denial: Denial): Refusal => {
  const { source, reason, message, retryAfterMs } = denial;
  if (source === "client") {
    const may = passing.has(reason) && denial.status !== 401 && denial.status !== 403;
    const text = may
      ? "the call could not be authorized just now, so it was not sent; try again later"
      : "the call could not be authorized, so it was not sent; do not retry, tell your operator";
    return new Refusal(503, "authorization_unavailable", text, may ? { retryAfterSeconds: 1 } : {});
  }
  if (reason === "budget_held")
    return new Refusal(429, reason, message, {
      retryAfterSeconds: Math.ceil((retryAfterMs ?? heldSeconds * 1000) / 1000),
    });
  const text = /retry/i.test(message) ? message : `${message.replace(/\.?$/, ".")} Do not retry.`;
  return new Refusal(403, reason, text);
};
