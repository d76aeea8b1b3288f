/** Answers as bytes: every one is JSON, bears the request's id, and is written in one place. */
import type { Problem } from "../kit/problem.ts";

export type Answer = {
  status: number;
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
};

/** An answer that is written as one text. */
export type TextAnswer = Answer & { body: string };

const json = { "Content-Type": "application/json" } as const;

/** A JSON answer. Decisions and errors must not be kept by anyone on the way. */
export const jsonAnswer = (
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): TextAnswer => ({
  status,
  body: JSON.stringify(body),
  headers: { ...json, "Cache-Control": "no-store", ...headers },
});

const extraHeaders = (problem: Problem): Record<string, string> => {
  switch (problem.status) {
    case 401:
      // RFC 6750 §3: the error attribute only where a credential was given.
      return {
        "WWW-Authenticate":
          problem.field === "authorization"
            ? 'Bearer realm="remit", error="invalid_token"'
            : 'Bearer realm="remit"',
      };
    case 429:
    case 503:
      return { "Retry-After": String(problem.retryAfterSeconds ?? 1) };
    default:
      return {};
  }
};

/** The one form of errors: `{status, code, message, field?}` (never `application/problem+json`, see FORMATS). */
export const problemAnswer = (problem: Problem, headers: Record<string, string> = {}): TextAnswer => {
  const { status, code, detail, field } = problem;
  return jsonAnswer(
    status,
    { status, code, message: detail, ...(field === undefined ? {} : { field }) },
    { ...extraHeaders(problem), ...headers },
  );
};
