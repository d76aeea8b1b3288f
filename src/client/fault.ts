/** What can go wrong between an enforcement point and its PDP: every fault has a reason to switch on, and none permits. */
import type { Denial } from "./decision.ts";

/** Why the client could not use an answer, or could not ask. */
export type FaultReason =
  /** The deadline passed before a whole answer was there. */
  | "timeout"
  /** The caller's own signal fired. */
  | "aborted"
  /** No connection, or it broke before the answer was complete, twice. */
  | "unreachable"
  /** An answer with another status than success; `status` says which. */
  | "http_status"
  /** Not `application/json`, not UTF-8, or not strict JSON (RFC 7493). */
  | "not_json"
  | "answer_too_large"
  /** JSON, but not what the API answers. */
  | "invalid_answer"
  /** Another number of decisions than questions. */
  | "wrong_length"
  /** The answer bears the id of another request. */
  | "request_id_mismatch"
  /** The question can't be sent: not JSON, or a required member is missing. */
  | "invalid_question"
  /** The PDP's metadata has no endpoint for this (AuthZEN §9.1). */
  | "not_offered"
  | "metadata_unavailable"
  | "metadata_invalid"
  /** The metadata belongs to another PDP than the one that was asked for (AuthZEN §9.2). */
  | "metadata_mismatch"
  | "metadata_signature"
  /** The function that gives the key failed, or gave what can't be a header. */
  | "no_credentials";

/** A fault as a value. `status` and `code` come from the answer, where there was one. */
export type Fault = {
  reason: FaultReason;
  message: string;
  status?: number | undefined;
  code?: string | undefined;
  retryAfterMs?: number | undefined;
};

/** A value or a fault. */
export type Result<T> = { ok: true; value: T } | { ok: false; fault: Fault };

export const success = <T>(value: T): Result<T> => ({ ok: true, value });

export const failure = (
  reason: FaultReason,
  message: string,
  more: Omit<Fault, "reason" | "message"> = {},
): { ok: false; fault: Fault } => ({ ok: false, fault: { reason, message, ...more } });

/** Thrown where an outcome can't be a denial: by searches, holds, usage and outcomes. */
export class PdpError extends Error {
  override readonly name = "PdpError";
  readonly reason: FaultReason;
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor({ reason, message, status, code, retryAfterMs }: Fault) {
    super(message);
    this.reason = reason;
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Thrown by what runs an action only when it is permitted. The message may hold what only an operator should see. */
export class Denied extends Error {
  override readonly name = "Denied";
  readonly denial: Denial;

  constructor(denial: Denial) {
    super(denial.message);
    this.denial = denial;
  }

  get reason(): string {
    return this.denial.reason;
  }
}
