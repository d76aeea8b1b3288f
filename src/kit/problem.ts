/** Operating errors: what went wrong outside our code, by a stable code that callers may switch on. */

/** Every code that an answer may bear, with its HTTP status (`shared` catalogue of the wire format). */
export const problemStatus = {
  invalid_json: 400,
  invalid_request: 400,
  unsupported_content_type: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  receive_timeout: 408,
  pruned: 410,
  conflict: 409,
  idempotency_in_progress: 409,
  precondition_failed: 412,
  payload_too_large: 413,
  idempotency_mismatch: 422,
  rate_limited: 429,
  headers_too_large: 431,
  internal: 500,
  overloaded: 503,
  timed_out: 503,
  ledger_unavailable: 503,
  not_ready: 503,
} as const;

export type ProblemCode = keyof typeof problemStatus;

/** An operating error. `detail` may be shown to the client; `cause` may not. `field` names the input at fault. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: ProblemCode;
  readonly detail: string;
  readonly field: string | undefined;
  /** After how long it is worth trying again, where that is known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { field?: string | undefined; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.field = options.field;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return problemStatus[this.code];
  }
}
