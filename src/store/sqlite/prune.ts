/**
 * Prunes entries to their hashes: leaves, details, and what stood for whom in them alone. Tiles stay, so every proof still
 * verifies; balances and the ends of chains are kept as of the last, and an entry commits to them.
 */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject } from "../../kit/json.ts";
import { facetsOf } from "../../ledger/facets.ts";
import type { PruneCommand, Pruned } from "../../ledger/store.ts";
import type { Leaf } from "../../ledger/verify.ts";
import type { Exported } from "../acts/exported.ts";
import {
  appendPrune,
  boundOf,
  exportedUpTo,
  movesIn,
  type OldEntry,
  recordOf,
  takeOld,
} from "../acts/prune.ts";
import { prunedState, readClosing } from "./closing.ts";
import type { Desk } from "./desk.ts";
import { searchState } from "./facets.ts";
import { firstHeld } from "./legal-holds.ts";

/** Entries pruned in one act: what a question may have to wait for. A whole number of tiles. */
const stepEntries = 4096;

/** The first index that is dated at an instant or later; entries before it are all older. */
const positionOf = (db: Database, at: Micros, size: number): number => {
  const first = db
    .prepare<[Micros], { at: Micros }>("select at from entry where at >= ? order by at limit 1")
    .get(at);
  if (!first) return size;
  return db
    .prepare<[Micros, Micros], number>("select min(idx) from entry where at >= ? and at <= ?")
    .pluck()
    .get(at, first.at + searchState(db).disorder)!;
};

/** How far is asked for, and how far it was signed. */
const reachOf = (db: Database, command: PruneCommand): { wanted: number; signed: number } => {
  const size = db.prepare<[], number>("select max(idx) + 1 from entry").pluck().get() ?? 0;
  return {
    wanted: "before" in command ? command.before : positionOf(db, command.beforeAt, size),
    signed: db.prepare<[], number | null>("select max(size) from checkpoint").pluck().get() ?? 0,
  };
};

/** Takes what entries leave behind into the closing. */
const createClose = (db: Database) => {
  const move = db.prepare(
    `insert into pruned_balance (budget, account, start, used, held) values (?, ?, ?, ?, ?)
     on conflict do update set used = used + excluded.used, held = held + excluded.held`,
  );
  const link = db.prepare(
    `insert into pruned_chain (key, count, leaf_hash) values (?, ?, ?)
     on conflict do update set count = excluded.count, leaf_hash = excluded.leaf_hash`,
  );
  return (leaf: Leaf, hash: Buffer): void => {
    for (const { budget, account, start, used = 0, held = 0 } of movesIn(leaf))
      move.run(budget, account, start, used, held);
    for (const { k, n } of leaf.chain) link.run(k, n, hash);
  };
};

/** Takes away the rows of an entry that are found by what it says. */
const createForget = (db: Database) => {
  const facet = db.prepare(
    "delete from entry_facet where facet = (select id from facet where kind = ? and value = ?) and idx = ?",
  );
  const trace = db.prepare(
    `delete from entry_trace where idx = ? and trace =
       (select case when instr(body, '"traceId":') > 0 then json_extract(body, '$.traceId') end from detail where idx = ?)`,
  );
  const ranges = ["detail", "consumption", "entry"].map((table) =>
    db.prepare(`delete from ${table} where idx >= ? and idx < ?`),
  );
  const leftovers = ["entry_agent", "entry_trace"].map((table) =>
    db.prepare(`delete from ${table} where idx < ?`),
  );
  return {
    found: (index: number, rec: JsonObject): void => {
      trace.run(index, index);
      for (const [kind, value] of facetsOf(rec)) facet.run(kind, value, index);
    },
    rows: (from: number, end: number): void => {
      for (const range of ranges) range.run(from, end);
      for (const leftover of leftovers) leftover.run(end);
    },
  };
};

/** Forgets what pseudonyms stand for that no entry bears any more. Chains go on under the ones they have. */
const createForgetNames = (db: Database): ((names: ReadonlySet<string>) => void) => {
  const forget = db.prepare(
    `delete from pseudonym where name = @name and kind in ('entity', 'type', 'action', 'run')
     and not exists (select 1 from entry_agent where agent = @name)
     and not exists (select 1 from entry where resource = @name)
     and not exists (select 1 from chain_head where key = 'agent:' || @name)
     and not exists (select 1 from entry_facet where facet in
       (select id from facet where kind in ('subject', 'run', 'action') and value = @name))`,
  );
  return (names) => {
    for (const name of names) forget.run({ name });
  };
};

export type Prune = (desk: Desk, command: PruneCommand) => Pruned;

/** Prunes a step of what is asked for, with the desk of this transaction. All entries must be found by search already. */
export const createPrune = (db: Database): Prune => {
  const rows = db.prepare<[number, number], OldEntry>(
    "select idx, at, leaf from entry where idx >= ? and idx < ? order by idx",
  );
  const exported = db.prepare<[number], Exported>(
    "select first, count, digest from exported where first + count > ? order by first, count desc",
  );
  const tile = db.prepare<[number], Buffer>("select hashes from tile where level = 0 and idx = ?").pluck();
  const advance = db.prepare("update pruned set before = ?, latest = ?, disorder = ?");
  const empty = db.prepare("delete from pruned_balance where used = 0 and held = 0");
  const close = createClose(db);
  const forget = createForget(db);
  const forgetNames = createForgetNames(db);

  return (desk, command) => {
    const known = prunedState(db);
    const from = known.before;
    const { end: exportedTo, digests } = exportedUpTo(exported.iterate(from), from);
    const bound = boundOf(
      { from, ...reachOf(db, command), exported: exportedTo, held: firstHeld(db) },
      command,
    );
    if (bound <= from) return { before: from, entries: 0, more: false };
    const end = Math.min(bound, from + stepEntries);
    const { state, names } = takeOld(
      known,
      end,
      rows.all(from, end),
      (index) => tile.get(index),
      (index, leaf, hash) => {
        close(leaf, hash);
        forget.found(index, recordOf(leaf));
      },
    );
    empty.run();
    advance.run(state.before, state.latest, state.disorder);
    forget.rows(from, end);
    forgetNames(names);
    // What was remembered may name what is gone.
    desk.renew();
    const closing = readClosing(db)!;
    return appendPrune(desk, command, {
      before: end,
      entries: end - from,
      more: end < bound,
      closing,
      digests,
    });
  };
};
