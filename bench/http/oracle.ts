/** What may never come of a request, however it is bent. */
import type { Shot } from "./mutations.ts";

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  ms: number;
};

/** What is known of a shot beforehand. */
export type Expectation = {
  /** Whether the clean request is denied: then no bent one may be permitted. */
  denied: boolean;
  /** Whether whoever asks lacks the scope. */
  unscoped: boolean;
};

export type Rules = {
  /** What no answer may hold: keys, and the key files' contents. */
  secrets: readonly string[];
  /** Longest that an answer may take. */
  answerMsMax: number;
};

/** What stands in texts of errors that nobody foresaw. */
const inside = /\bat (?:file:|node:|Object\.|async )|node_modules|\.ts:\d+|\.js:\d+|SQLITE_|SqliteError/;

const isPermit = /"decision"\s*:\s*true/;

const errorOf = (text: string): { code?: unknown; message?: unknown } | undefined => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- looked at member by member
    return JSON.parse(text) as { code?: unknown };
  } catch {
    return undefined;
  }
};

/** Statuses of 500 and more that say: nothing was done, ask again. */
const isBusy = (status: number, code: unknown): boolean => status === 503 && code === "overloaded";

/** What is wrong with an answer, if anything. */
export const faultOf = (
  { method }: Shot,
  { status, headers, text, ms }: Answer,
  { denied, unscoped }: Expectation,
  { secrets, answerMsMax }: Rules,
): string | undefined => {
  const body = method === "HEAD" ? undefined : errorOf(text);
  if (status >= 500 && !isBusy(status, body?.code)) return `status ${status}`;
  if (ms > answerMsMax) return `answered after ${Math.round(ms)} ms`;
  if (secrets.some((secret) => text.includes(secret) || JSON.stringify(headers).includes(secret)))
    return "the answer holds a secret";
  if (status >= 400 && inside.test(text)) return "the answer tells of our insides";
  if (unscoped && status < 300) return "done without the scope for it";
  if (denied && isPermit.test(text)) return "a permit that the clean request doesn't get";
  if (
    status >= 400 &&
    method !== "HEAD" &&
    (typeof body?.code !== "string" || typeof body.message !== "string")
  )
    return "an error without code and message";
  return undefined;
};
