/** What may never come of a request, however it is bent. */
import type { Shot } from "./mutations.ts";

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  ms: number;
};

/** An answer that is known beforehand. */
export type Known =
  | { status: 200; decisions: readonly boolean[] }
  /** `field` is what the error must name. */
  | { status: 400; field?: string };

/** What is known of a shot beforehand. */
export type Expectation = {
  /** Whether the clean request is denied: then no bent one may be permitted. */
  denied: boolean;
  /** Whether whoever asks lacks the scope. */
  unscoped: boolean;
  known?: Known;
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

type Body = {
  code?: unknown;
  message?: unknown;
  field?: unknown;
  decision?: unknown;
  evaluations?: { decision?: unknown }[];
};

const bodyOf = (text: string): Body | undefined => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- looked at member by member
    return JSON.parse(text) as Body;
  } catch {
    return undefined;
  }
};

/** Statuses of 500 and more that say: nothing was done, ask again. */
const isBusy = (status: number, code: unknown): boolean => status === 503 && code === "overloaded";

/** What differs from an answer that is known. */
const unlike = (known: Known, status: number, body: Body | undefined): string | undefined => {
  if (status !== known.status) return `status ${status}, not ${known.status}`;
  if (known.status === 400)
    return known.field === undefined || body?.field === known.field
      ? undefined
      : `the error names ${JSON.stringify(body?.field)}, not ${known.field}`;
  const decisions = (body?.evaluations ?? [body]).map((each) => each?.decision);
  return JSON.stringify(decisions) === JSON.stringify(known.decisions)
    ? undefined
    : "another answer than to the same question in other words";
};

/** What is wrong with an answer, if anything. */
export const faultOf = (
  { method }: Shot,
  { status, headers, text, ms }: Answer,
  { denied, unscoped, known }: Expectation,
  { secrets, answerMsMax }: Rules,
): string | undefined => {
  const body = method === "HEAD" ? undefined : bodyOf(text);
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
  return known === undefined || isBusy(status, body?.code) ? undefined : unlike(known, status, body);
};
