/** Reads entries back. */
import type { Database } from "better-sqlite3";
import { holdOfDecision } from "./holds.ts";
import type { EntryFilter, EntryPage, EntryShown } from "../../ledger/store.ts";
import { type EntryViewRow, type Lookup, type Name, shownOf, viewOf } from "../acts/entry-views.ts";
import { absentAmong } from "../acts/pruned.ts";
import { prunedBefore, prunedState } from "./closing.ts";
import { findEntries } from "./entry-search.ts";

const lookupOf = (db: Database): Lookup => {
  const find = db.prepare<[string], Name>("select type, id from pseudonym where name = ?");
  const holdOf = db.prepare<[string], string>(holdOfDecision).pluck();
  return { named: (p) => find.get(p), holdOf: (decision) => holdOf.get(decision) };
};

const rowSql = `select e.idx as idx, e.leaf as leaf, e.leaf_hash as leaf_hash, d.body as body
  from entry e left join detail d on d.idx = e.idx`;

/** The entries a filter asks for, and the cursor of the next page. */
export const readEntries = (db: Database, filter: EntryFilter): EntryPage => {
  const found = findEntries(db, filter, filter.limit + 1);
  const row = db.prepare<[number], EntryViewRow>(`${rowSql} where e.idx = ?`);
  const lookup = lookupOf(db);
  const entries = found.slice(0, filter.limit).map((index) => viewOf(row.get(index)!, lookup));
  const last = entries.at(-1);
  const before = prunedBefore(db);
  return {
    entries,
    ...(found.length > filter.limit && last ? { next: last.index } : {}),
    ...(before > 0 ? { prunedBefore: before } : {}),
  };
};

/** One entry by its index or its id, with all that is kept of it. */
export const readEntry = (db: Database, ref: number | string): EntryShown | undefined => {
  const row = db
    .prepare<[number | string], EntryViewRow>(
      `${rowSql} where ${typeof ref === "number" ? "e.idx" : "e.id"} = ?`,
    )
    .get(ref);
  if (!row) return absentAmong(prunedState(db), ref);
  return shownOf(row, lookupOf(db));
};
