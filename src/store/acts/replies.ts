/** Answers under idempotency keys: what was asked again is answered again, and counts once. Kept for a day. */
import type { Micros } from "../../kit/clock.ts";

export type Reply = { fingerprint: string; answer: string };

/** Which request a key is for. */
export type Endpoint = "evaluation" | "settle" | "release" | "extend" | "grant" | "adjust";

export type Replies = {
  find: (endpoint: Endpoint, caller: string, key: string) => Reply | undefined;
  keep: (
    endpoint: Endpoint,
    caller: string,
    key: { key: string; fingerprint: string },
    answer: string,
    at: Micros,
  ) => void;
  /** Forgets those of before the instant. */
  forget: (before: Micros) => void;
};

export const replyKeptMicros: number = 24 * 3_600_000_000;
