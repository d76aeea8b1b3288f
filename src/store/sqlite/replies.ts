/** Answers under idempotency keys: what was asked again is answered again, and counts once. Kept for a day. */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";

export type Reply = { fingerprint: string; answer: string };

export type Replies = {
  find: (caller: string, key: string) => Reply | undefined;
  keep: (caller: string, key: { key: string; fingerprint: string }, answer: string, at: Micros) => void;
};

export const replyKeptMicros: number = 24 * 3_600_000_000;

/** Replies of one endpoint. */
export const createReplies = (db: Database, endpoint: string): Replies => {
  const find = db.prepare<[string, string, string], Reply>(
    "select fingerprint, answer from idempotency where caller = ? and endpoint = ? and key = ?",
  );
  const keep = db.prepare(
    "insert into idempotency (caller, endpoint, key, fingerprint, answer, at) values (?, ?, ?, ?, ?, ?)",
  );
  return {
    find: (caller, key) => find.get(caller, endpoint, key),
    keep: (caller, { key, fingerprint }, answer, at) =>
      void keep.run(caller, endpoint, key, fingerprint, answer, at),
  };
};
