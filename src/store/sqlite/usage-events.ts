/** Reported usage, as rows. */
import type { Database } from "better-sqlite3";
import type { UsageEvents } from "../acts/account-acts.ts";

export const usageEvents = (db: Database): UsageEvents => {
  const find = db.prepare<[string, string], { fingerprint: string; answer: string }>(
    "select fingerprint, answer from usage_event where source = ? and id = ?",
  );
  const insert = db.prepare("insert into usage_event (source, id, fingerprint, answer) values (?, ?, ?, ?)");
  return {
    find: (source, event) => find.get(source, event),
    insert: (source, event, { fingerprint, answer }) => void insert.run(source, event, fingerprint, answer),
  };
};
