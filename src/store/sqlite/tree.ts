/**
 * The tree over the entries: takes in what was committed, off the answering path, and signs what it came to. Whatever
 * is missing after a crash is taken in again; what can't be extended consistently is not extended.
 */
import type { Database } from "better-sqlite3";
import { isoMicros, type Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { openCheckpoint, signCheckpoint } from "../../ledger/checkpoint.ts";
import type { LedgerKeys } from "../../ledger/key-file.ts";
import { consistencyPath, hashBytes, inclusionPath, type NodeReader, rootOf } from "../../ledger/merkle.ts";
import {
  bundleOf,
  createEdge,
  type Edge,
  nodesInTiles,
  type TileName,
  tileWidth,
  widthAt,
} from "../../ledger/tile.ts";
import { prunedProblem } from "../acts/pruned.ts";
import { prunedBefore } from "./closing.ts";
import type { Inclusion } from "../../ledger/store.ts";

/** What proofs are made from. */
export type TreeRows = {
  /** The newest checkpoint's size and note. */
  newest: () => { size: number; note: string } | undefined;
  node: NodeReader;
  /** The bytes of a tile or bundle within the newest checkpoint; undefined where it has none of that width. */
  tile: (name: TileName) => Buffer | undefined;
  inclusion: (index: number) => Inclusion;
  consistency: (from: number, to: number) => Uint8Array[];
};

const outside = (field: string, size: number): Problem =>
  new Problem("not_found", `the newest checkpoint is of ${size} entries`, { field });

/** The tree as it is kept. */
export const treeRows = (db: Database): TreeRows => {
  const newest = db.prepare<[], { size: number; note: string }>(
    "select size, note from checkpoint order by size desc limit 1",
  );
  const tile = db
    .prepare<[number, number], Buffer>("select hashes from tile where level = ? and idx = ?")
    .pluck();
  const hashes = db
    .prepare<[number, number], Buffer>("select leaf_hash from entry where idx >= ? and idx < ? order by idx")
    .pluck();
  const leaves = db
    .prepare<[number, number], Buffer>("select leaf from entry where idx >= ? and idx < ? order by idx")
    .pluck();
  const hash = db.prepare<[number], Buffer>("select leaf_hash from entry where idx = ?").pluck();
  const bytesOf = (level: number, index: number, width: number): Buffer => {
    const first = index * tileWidth;
    const kept = tile.get(level, index);
    const bytes = kept ?? (level === 0 ? Buffer.concat(hashes.all(first, first + width)) : undefined);
    if (!bytes || bytes.length < width * hashBytes)
      throw new Problem("not_ready", `the tile ${index} of level ${level} is missing from the ledger`);
    return bytes.subarray(0, width * hashBytes);
  };
  const node = nodesInTiles(bytesOf);
  const sizeNow = (): number => newest.get()?.size ?? 0;
  return {
    newest: () => newest.get(),
    node,
    tile: ({ level, index, width }) => {
      if (width > widthAt(level, index, sizeNow())) return undefined;
      if (level !== "entries") return bytesOf(level, index, width);
      const first = index * tileWidth;
      const before = prunedBefore(db);
      if (first < before) throw prunedProblem(`the entries from ${first} on were pruned`, before);
      return bundleOf(leaves.all(first, first + width));
    },
    inclusion: (index) => {
      const { size, note } = newest.get() ?? { size: 0, note: "" };
      const at = (index % tileWidth) * hashBytes;
      // Of a pruned entry the tile alone has it.
      const leafHash =
        index < size
          ? (hash.get(index) ?? tile.get(0, Math.floor(index / tileWidth))?.subarray(at, at + hashBytes))
          : undefined;
      if (!leafHash) throw outside("index", size);
      return { index, size, leafHash, path: inclusionPath(node, index, size), checkpoint: note };
    },
    consistency: (from, to) => {
      const size = sizeNow();
      if (to > size) throw outside("to", size);
      if (from < 1 || from > to)
        throw new Problem("invalid_request", "from must be at least 1 and at most to", { field: "from" });
      return consistencyPath(node, from, to);
    },
  };
};

export type TreeOptions = {
  keys: LedgerKeys;
  /** Checkpoints that were published. */
  known: readonly string[];
  at: Micros;
};

/** Entries taken in at once: what a question may have to wait for. */
const stepEntriesMax = 2048;

export type Tree = {
  /** Takes in committed entries; `more` are left for the next step. Signs, once all are in and there were any. */
  step: (at: Micros) => { more: boolean; signed?: string };
  /** Takes in everything and gives the newest checkpoint. */
  checkpoint: (at: Micros) => string;
};

const refuse = (why: string): never => {
  throw new Problem("not_ready", `the ledger can't be extended: ${why}`);
};

/** The right edge of the tree of the newest checkpoint. */
const edgeOf = (db: Database, size: number): Edge => {
  const tile = db
    .prepare<[number, number], Buffer>("select hashes from tile where level = ? and idx = ?")
    .pluck();
  const hashes = db
    .prepare<[number, number], Buffer>("select leaf_hash from entry where idx >= ? and idx < ? order by idx")
    .pluck();
  const levels: Buffer[] = [Buffer.concat(hashes.all(size - (size % tileWidth), size))];
  for (let level = 1; tileWidth ** level <= size; level++) {
    const index = Math.floor(size / tileWidth ** (level + 1));
    const width = widthAt(level, index, size);
    const bytes = width === 0 ? Buffer.alloc(0) : tile.get(level, index);
    if (!bytes || bytes.length < width * hashBytes) refuse(`the tile ${index} of level ${level} is missing`);
    else levels.push(bytes.subarray(0, width * hashBytes));
  }
  return createEdge(size, levels);
};

/** @throws Problem `not_ready` when a checkpoint that is known isn't one of this ledger's past */
const assertExtends = (rows: TreeRows, size: number, keys: LedgerKeys, known: readonly string[]): void => {
  for (const note of known) {
    const opened = openCheckpoint(note, keys.verifiers);
    if ("fault" in opened) return refuse(`a checkpoint of it is not its own: ${opened.fault}`);
    const { head } = opened;
    if (head.size > size)
      refuse(
        `it holds ${size} entries, but a checkpoint of ${head.size} was signed: an older copy was put back`,
      );
    if (Buffer.compare(rootOf(rows.node, head.size), head.root) !== 0)
      refuse(`its first ${head.size} entries are not those of the checkpoint that was signed of them`);
  }
};

/**
 * The tree, taken up where the newest checkpoint left it.
 * @throws Problem `not_ready` when the entries don't continue what was signed
 */
export const createTree = (db: Database, rows: TreeRows, { keys, known, at }: TreeOptions): Tree => {
  const fresh = db.prepare<[number, number], { idx: number; leaf_hash: Buffer }>(
    "select idx, leaf_hash from entry where idx >= ? order by idx limit ?",
  );
  const count = db.prepare<[], number>("select coalesce(max(idx) + 1, 0) from entry").pluck();
  const putTile = db.prepare(
    "insert into tile (level, idx, hashes) values (?, ?, ?) on conflict do update set hashes = excluded.hashes",
  );
  const putCheckpoint = db.prepare(
    "insert into checkpoint (size, root, note, at) values (?, ?, ?, ?) on conflict do update set note = excluded.note",
  );
  const thin = db.prepare(
    `delete from checkpoint where size < ? and at >= ?
     and size > (select min(size) from checkpoint where at >= ?)`,
  );
  // Absent after a failure: what it took in may not have been kept.
  let edge: Edge | undefined;
  const keep = db.transaction((grown: Edge, signed: { note: string; at: Micros } | undefined): void => {
    for (const { level, index, bytes } of grown.drain()) putTile.run(level, index, bytes);
    if (!signed) return;
    putCheckpoint.run(grown.size(), grown.root(), signed.note, signed.at);
    const minute = signed.at - (signed.at % 60_000_000);
    thin.run(grown.size(), minute, minute);
  });
  const grow = (now: Micros, always: boolean): { more: boolean; signed?: string } => {
    const current = (edge ??= edgeOf(db, rows.newest()?.size ?? 0));
    edge = undefined;
    const found = fresh.all(current.size(), stepEntriesMax);
    for (const { idx, leaf_hash } of found) {
      if (idx !== current.size()) refuse(`the entry ${current.size()} is missing at ${isoMicros(now)}`);
      current.append(leaf_hash);
    }
    const more = found.length === stepEntriesMax;
    // What was read is committed and synced, and only then signed.
    const size = current.size();
    const sign = !more && (always || size !== (rows.newest()?.size ?? 0));
    const note = sign
      ? signCheckpoint({ origin: keys.origin, size, root: current.root() }, keys.signers)
      : undefined;
    if (found.length > 0 || note !== undefined)
      keep.immediate(current, note === undefined ? undefined : { note, at: now });
    edge = current;
    return note === undefined ? { more } : { more, signed: note };
  };
  const all = (now: Micros): void => {
    while (grow(now, rows.newest() === undefined).more);
  };
  const last = rows.newest();
  const size = count.get()!;
  if (last && last.size > size)
    refuse(`it holds ${size} entries, but a checkpoint of ${last.size} was signed`);
  if (last) assertExtends(rows, size, keys, [last.note]);
  all(at);
  assertExtends(rows, size, keys, known);
  return {
    step: (now) => grow(now, false),
    checkpoint: (now) => {
      all(now);
      return rows.newest()!.note;
    },
  };
};
