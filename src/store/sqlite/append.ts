/** Entries as rows, inside the act's transaction. */
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";
import type { EntryRows } from "../acts/append.ts";
import { headRows } from "./chains.ts";
import { prunedBefore } from "./closing.ts";
import { createPseudonyms } from "./pseudonyms.ts";

/** A ledger with a hole can't be extended consistently: entries were taken away. */
export const nextIndex = (db: Database): number => {
  const { count, last } = db
    .prepare<[], { count: number; last: number | null }>(
      "select count(*) as count, max(idx) as last from entry",
    )
    .get()!;
  const pruned = prunedBefore(db);
  const next = (last ?? -1) + 1;
  if (count !== next - pruned)
    throw new Problem("not_ready", `the ledger holds ${count} entries, but its last index is ${last}`);
  return next;
};

/** What it remembers between acts is wrong once one is rolled back: make another then. */
export const entryRows = (db: Database): EntryRows => {
  const insertEntry = db.prepare(
    "insert into entry (idx, id, at, kind, leaf, leaf_hash, resource, denied) values (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const insertDetail = db.prepare("insert into detail (idx, salt, body) values (?, ?, ?)");
  return {
    insert: ({ index, id, at, kind, leaf, hash, resource, denied, salt, body }) => {
      insertEntry.run(index, id, at, kind, leaf, hash, resource, denied ? 1 : 0);
      insertDetail.run(index, salt, body);
    },
    heads: headRows(db),
    names: createPseudonyms(db),
  };
};
