/** How permitted actions ended, as rows. */
import type { Database } from "better-sqlite3";
import type { OutcomeRows } from "../acts/outcomes.ts";

export const outcomeRows = (db: Database): OutcomeRows => {
  const leafOf = db
    .prepare<[string], Buffer>("select leaf from entry where id = ? and kind = 'decision'")
    .pluck();
  const find = db.prepare<[string], { fingerprint: string; index: number }>(
    'select fingerprint, idx as "index" from outcome where decision = ?',
  );
  const insert = db.prepare("insert into outcome (decision, fingerprint, idx) values (?, ?, ?)");
  return {
    leafOf: (decision) => leafOf.get(decision),
    find: (decision) => find.get(decision),
    insert: ({ decision, fingerprint, index }) => void insert.run(decision, fingerprint, index),
  };
};
