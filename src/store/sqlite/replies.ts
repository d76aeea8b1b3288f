/** Answers under idempotency keys, as rows. */
import type { Database } from "better-sqlite3";
import type { Replies, Reply } from "../acts/replies.ts";

export const createReplies = (db: Database): Replies => {
  const find = db.prepare<[string, string, string], Reply>(
    "select fingerprint, answer from idempotency where caller = ? and endpoint = ? and key = ?",
  );
  const keep = db.prepare(
    "insert into idempotency (caller, endpoint, key, fingerprint, answer, at) values (?, ?, ?, ?, ?, ?)",
  );
  const forget = db.prepare("delete from idempotency where at < ?");
  return {
    find: (endpoint, caller, key) => find.get(caller, endpoint, key),
    keep: (endpoint, caller, { key, fingerprint }, answer, at) =>
      void keep.run(caller, endpoint, key, fingerprint, answer, at),
    forget: (before) => void forget.run(before),
  };
};
