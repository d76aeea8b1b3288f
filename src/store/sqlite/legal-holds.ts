/** Legal holds as rows, and which entries are under one: those are kept whatever retention or an erasure asks for. */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import type { EntryFilter, LegalHold } from "../../ledger/store.ts";
import { entriesUnder, type LegalHoldRows } from "../acts/legal-holds.ts";
import { findEntries } from "./entry-search.ts";

type Row = {
  id: string;
  agent: string | null;
  subject: string | null;
  from_at: Micros | null;
  to_at: Micros | null;
  reason: string;
  placed_by: string;
  placed_at: Micros;
  lifted_by: string | null;
  lifted_at: Micros | null;
  lift_reason: string | null;
};

const holdOf = (row: Row): LegalHold => ({
  id: row.id,
  ...(row.agent === null ? {} : { agent: row.agent }),
  ...(row.subject === null ? {} : { subject: row.subject }),
  ...(row.from_at === null ? {} : { from: row.from_at }),
  ...(row.to_at === null ? {} : { to: row.to_at }),
  reason: row.reason,
  placedBy: row.placed_by,
  placedAt: row.placed_at,
  ...(row.lifted_at === null
    ? {}
    : { lifted: { by: row.lifted_by ?? "", at: row.lifted_at, reason: row.lift_reason ?? "" } }),
});

/** All holds, the lifted among them, in the order in which they were placed. */
export const legalHolds = (db: Database): LegalHold[] =>
  db.prepare<[], Row>("select * from legal_hold order by placed_at, id").all().map(holdOf);

const standing = (db: Database): LegalHold[] => legalHolds(db).filter(({ lifted }) => !lifted);

/** The first entry that is held, and by which hold. Everything must be in the tables of the search. */
export const firstHeld = (db: Database): { index: number; hold: string } | undefined =>
  standing(db)
    .flatMap((hold) => {
      const [index] = findEntries(db, { ...entriesUnder(hold), order: "asc", limit: 1 }, 1);
      return index === undefined ? [] : [{ index, hold: hold.id }];
    })
    .toSorted((a, b) => a.index - b.index)[0];

const pageEntries = 1000;

/** The hold that one of these entries is under, if any is. */
export const heldAmong = (db: Database, indices: ReadonlySet<number>): string | undefined => {
  if (indices.size === 0) return undefined;
  for (const hold of standing(db))
    for (let cursor: number | undefined; ;) {
      const filter: EntryFilter = { ...entriesUnder(hold), order: "asc", limit: pageEntries };
      const page = findEntries(db, cursor === undefined ? filter : { ...filter, cursor }, pageEntries);
      if (page.some((index) => indices.has(index))) return hold.id;
      cursor = page.at(-1);
      if (page.length < pageEntries) break;
    }
  return undefined;
};

export const legalHoldRows = (db: Database): LegalHoldRows => {
  const find = db.prepare<[string], Row>("select * from legal_hold where id = ?");
  const insert = db.prepare(
    `insert into legal_hold (id, agent, subject, from_at, to_at, reason, placed_by, placed_at)
     values (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const lift = db.prepare("update legal_hold set lifted_by = ?, lifted_at = ?, lift_reason = ? where id = ?");
  return {
    find: (id) => {
      const row = find.get(id);
      return row && holdOf(row);
    },
    insert: ({ id, agent, subject, from, to, reason, placedBy, placedAt }) =>
      void insert.run(
        id,
        agent ?? null,
        subject ?? null,
        from ?? null,
        to ?? null,
        reason,
        placedBy,
        placedAt,
      ),
    lift: (id, { by, at, reason }) => void lift.run(by, at, reason, id),
  };
};
