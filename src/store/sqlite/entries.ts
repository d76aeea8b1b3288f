/** Reads entries back. */
import type { Database } from "better-sqlite3";
import { holdOfDecision } from "./holds.ts";
import type { EntryFilter, EntryPage, EntryShown } from "../../ledger/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { type EntryViewRow, type Lookup, type Name, shownOf, viewOf } from "../acts/entry-views.ts";
import { prunedBefore, prunedProblem } from "./closing.ts";
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

/** A UUIDv7 tells when it was made. */
const madeAt = (id: string): Micros | undefined =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id)
    ? Number.parseInt(id.replace("-", "").slice(0, 12), 16) * 1000
    : undefined;

/** Whether an entry isn't there because it was pruned, as far as that can be told. */
const absent = (db: Database, ref: number | string): undefined => {
  const before = prunedBefore(db);
  if (before === 0) return undefined;
  const latest = db.prepare<[], Micros>("select latest from pruned").pluck().get()!;
  if (typeof ref === "number" && ref < before) throw prunedProblem(`entry ${ref} was pruned`, before);
  const made = typeof ref === "string" ? madeAt(ref) : undefined;
  if (made !== undefined && made <= latest)
    throw prunedProblem(`if \`${ref}\` was an entry, it was pruned`, before);
  return undefined;
};

/** One entry by its index or its id, with all that is kept of it. */
export const readEntry = (db: Database, ref: number | string): EntryShown | undefined => {
  const row = db
    .prepare<[number | string], EntryViewRow>(
      `${rowSql} where ${typeof ref === "number" ? "e.idx" : "e.id"} = ?`,
    )
    .get(ref);
  if (!row) return absent(db, ref);
  return shownOf(row, lookupOf(db));
};
