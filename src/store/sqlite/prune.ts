/**
 * Prunes entries to their hashes: leaves, details, and what stood for whom in them alone. Tiles stay, so every proof still
 * verifies; balances and the ends of chains are kept as of the last, and an entry commits to them.
 */
import type { Database } from "better-sqlite3";
import { actRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import { closingDigest, pruneKind } from "../../ledger/closing.ts";
import { leafHash } from "../../ledger/entry.ts";
import { facetsOf } from "../../ledger/facets.ts";
import { hashBytes } from "../../ledger/merkle.ts";
import type { PruneCommand, Pruned } from "../../ledger/store.ts";
import { tileWidth } from "../../ledger/tile.ts";
import { type Leaf, parseLeaf } from "../../ledger/verify.ts";
import { readClosing } from "./closing.ts";
import type { Desk } from "./desk.ts";
import { searchState } from "./facets.ts";
import { firstHeld } from "./legal-holds.ts";

/** Entries pruned in one act: what a question may have to wait for. A whole number of tiles. */
const stepEntries = 4096;

type Row = { idx: number; at: Micros; leaf: Buffer; leaf_hash: Buffer };

const floorToTile = (index: number): number => index - (index % tileWidth);

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

/** Up to where everything from `from` on was exported, and the digests of those exports. */
const exportedUpTo = (db: Database, from: number): { end: number; digests: string[] } => {
  const rows = db
    .prepare<[number], { first: number; count: number; digest: string }>(
      "select first, count, digest from exported where first + count > ? order by first, count desc",
    )
    .all(from);
  let end = from;
  const digests: string[] = [];
  for (const { first, count, digest } of rows) {
    if (first > end) break;
    if (first + count <= end) continue;
    end = first + count;
    digests.push(digest);
  }
  return { end, digests };
};

/** Where pruning may go to, and why not further where it was asked to. */
const boundOf = (db: Database, from: number, command: PruneCommand): number => {
  const signed = db.prepare<[], number | null>("select max(size) from checkpoint").pluck().get() ?? 0;
  const size = db.prepare<[], number>("select max(idx) + 1 from entry").pluck().get() ?? 0;
  const wanted = "before" in command ? command.before : positionOf(db, command.beforeAt, size);
  const asked = floorToTile(Math.min(wanted, signed));
  if (asked <= from) return from;
  const { end } = exportedUpTo(db, from);
  const held = firstHeld(db);
  if (command.asFarAsMayBe) return floorToTile(Math.min(asked, end, held?.index ?? asked));
  if (end < asked)
    throw new Problem(
      "conflict",
      `entries ${end} to ${asked - 1} were not exported: with \`remit ledger export\` they are kept elsewhere first`,
    );
  if (held && held.index < asked)
    throw new Problem(
      "conflict",
      `entry ${held.index} is under the legal hold \`${held.hold}\`: entries before ${floorToTile(held.index)} can be pruned`,
    );
  return asked;
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
  return ({ chain, rec }: Leaf, hash: Buffer): void => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `movesRecord`
    const moves = (rec["moves"] ?? []) as {
      budget: string;
      account: string;
      start: number;
      used?: number;
      held?: number;
    }[];
    for (const { budget, account, start, used = 0, held = 0 } of moves)
      move.run(budget, account, start, used, held);
    for (const { k, n } of chain) link.run(k, n, hash);
  };
};

/** Every pseudonym in a record; accounts' are left, as accounts are. */
const pseudonymsIn = (value: JsonValue | undefined, found: Set<string>): void => {
  if (typeof value === "string" && value.startsWith("p_")) found.add(value);
  else if (Array.isArray(value)) for (const item of value) pseudonymsIn(item, found);
  else if (typeof value === "object" && value !== null)
    for (const [name, item] of Object.entries(value)) if (name !== "moves") pseudonymsIn(item, found);
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

/** Gives the parts of an entry. What isn't what was signed is kept, for whoever looks into it. @throws Problem `conflict` */
const createLeafCheck = (db: Database): ((row: Row) => { parsed: Leaf; hash: Buffer }) => {
  const tile = db.prepare<[number], Buffer>("select hashes from tile where level = 0 and idx = ?").pluck();
  const hashAt = (index: number): Buffer | undefined =>
    tile
      .get(Math.floor(index / tileWidth))
      ?.subarray((index % tileWidth) * hashBytes, ((index % tileWidth) + 1) * hashBytes);
  return ({ idx, leaf }) => {
    const hash = leafHash(leaf);
    const parsed = parseLeaf(leaf);
    if (!parsed || !hashAt(idx)?.equals(hash))
      throw new Problem("conflict", `entry ${idx} is not the one that the tree holds: verify the ledger`);
    return { parsed, hash };
  };
};

export type Prune = (desk: Desk, command: PruneCommand) => Pruned;

/** Prunes a step of what is asked for, with the desk of this transaction. All entries must be found by search already. */
export const createPrune = (db: Database): Prune => {
  const rows = db.prepare<[number, number], Row>(
    "select idx, at, leaf, leaf_hash from entry where idx >= ? and idx < ? order by idx",
  );
  const state = db.prepare<[], { before: number; latest: Micros; disorder: Micros }>(
    "select before, latest, disorder from pruned",
  );
  const advance = db.prepare("update pruned set before = ?, latest = ?, disorder = ?");
  const empty = db.prepare("delete from pruned_balance where used = 0 and held = 0");
  const close = createClose(db);
  const forget = createForget(db);
  const forgetNames = createForgetNames(db);

  const leafIn = createLeafCheck(db);
  const take = (from: number, end: number): Set<string> => {
    let { latest, disorder } = state.get()!;
    const names = new Set<string>();
    let next = from;
    for (const row of rows.all(from, end)) {
      if (row.idx !== next++)
        throw new Problem("conflict", `entry ${next - 1} is missing: verify the ledger`);
      const { parsed, hash } = leafIn(row);
      close(parsed, hash);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it was parsed from JSON
      const rec = parsed.rec as JsonObject;
      forget.found(row.idx, rec);
      pseudonymsIn(rec, names);
      disorder = Math.max(disorder, latest - row.at);
      latest = Math.max(latest, row.at);
    }
    if (next !== end) throw new Problem("conflict", `entry ${next} is missing: verify the ledger`);
    empty.run();
    advance.run(end, latest, disorder);
    return names;
  };

  return (desk, command) => {
    const from = state.get()!.before;
    const bound = boundOf(db, from, command);
    if (bound <= from) return { before: from, entries: 0, more: false };
    const end = Math.min(bound, from + stepEntries);
    const { digests } = exportedUpTo(db, from);
    const names = take(from, end);
    forget.rows(from, end);
    forgetNames(names);
    // What was remembered may name what is gone.
    desk.renew();
    const { id, at, caller } = command;
    const facts = {
      before: end,
      entries: end - from,
      closing: closingDigest(readClosing(db)!),
      exports: digests.slice(0, 20),
    };
    const index = desk.append.entry({
      id,
      at,
      kind: pruneKind,
      record: (pseudonyms, detail) =>
        actRecord(pseudonyms, { kind: pruneKind, id, at, caller, detail, moves: [], facts }),
      body: "{}",
      agents: [],
    });
    return { before: end, entries: end - from, more: end < bound, index };
  };
};
