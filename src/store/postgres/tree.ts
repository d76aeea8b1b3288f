/**
 * The tree over the entries of all processes. One at a time takes in what was committed and signs it; whoever comes next
 * begins from the database, so that none is needed in particular. What can't be extended consistently is not extended.
 */
import type pg from "pg";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { openCheckpoint, signCheckpoint } from "../../ledger/checkpoint.ts";
import type { LedgerKeys } from "../../ledger/key-file.ts";
import { type LogSource, proofFrom } from "../../ledger/log-source.ts";
import { consistencyPath, hashBytes, inclusionPath, rootOf } from "../../ledger/merkle.ts";
import type { Inclusion } from "../../ledger/store.ts";
import { bundleOf, createEdge, type Edge, type TileName, tileWidth, widthAt } from "../../ledger/tile.ts";
import { prunedProblem } from "../acts/pruned.ts";
import { prunedState } from "./closing.ts";
import { readTime } from "./epochs.ts";
import { transaction } from "./open.ts";
import { locks } from "./schema.ts";

export type TreeOptions = {
  keys: LedgerKeys;
  /** Checkpoints that were published. */
  known: readonly string[];
  /** When it is opened; by the database's clock where that isn't said. */
  at?: Micros;
};

export type Tree = {
  /** Takes in what was committed and signs it; nothing where another process is at it. Gives a new checkpoint. */
  integrate: (at: Micros) => Promise<string | undefined>;
  /** The newest checkpoint, after taking in everything that was committed before. */
  checkpoint: (at: Micros) => Promise<string>;
  /** Bytes of a tile or bundle within the newest checkpoint; undefined where it has none of that width. */
  tile: LogSource["tile"];
  /** @throws Problem `not_found` where the newest checkpoint doesn't reach */
  inclusion: (index: number) => Promise<Inclusion>;
  /** @throws Problem as `inclusion`; `invalid_request` for sizes that nothing can be proved of */
  consistency: (from: number, to: number) => Promise<Uint8Array[]>;
};

type Query = Pick<pg.ClientBase, "query">;

const refuse = (why: string): never => {
  throw new Problem("not_ready", `the ledger can't be extended: ${why}`);
};

const newest = async (client: Query): Promise<{ size: number; note: string } | undefined> => {
  const { rows } = await client.query<{ size: string; note: string }>(
    "select size, note from checkpoint order by size desc limit 1",
  );
  return rows[0] && { size: Number(rows[0].size), note: rows[0].note };
};

const hashesFrom = async (client: Query, first: number, count: number): Promise<Buffer[]> => {
  const { rows } = await client.query<{ idx: string; leaf_hash: Buffer }>(
    "select idx, leaf_hash from entry where idx >= $1 order by idx limit $2",
    [first, count],
  );
  return rows.map(({ idx, leaf_hash }, at) =>
    Number(idx) === first + at ? leaf_hash : refuse(`the entry ${first + at} is missing`),
  );
};

const tileBytes = async (client: Query, level: number, index: number, width: number): Promise<Buffer> => {
  const { rows } = await client.query<{ hashes: Buffer }>(
    "select hashes from tile where level = $1 and idx = $2",
    [level, index],
  );
  const bytes =
    rows[0]?.hashes ??
    (level === 0 ? Buffer.concat(await hashesFrom(client, index * tileWidth, width)) : Buffer.alloc(0));
  if (bytes.length < width * hashBytes) refuse(`the tile ${index} of level ${level} is missing`);
  return bytes.subarray(0, width * hashBytes);
};

/** The right edge of the tree of so many entries. */
const edgeOf = async (client: Query, size: number): Promise<Edge> => {
  const levels: Buffer[] = [];
  for (let level = 0; level === 0 || tileWidth ** level <= size; level++) {
    const index = Math.floor(size / tileWidth ** (level + 1));
    const width = widthAt(level, index, size);
    levels.push(width === 0 ? Buffer.alloc(0) : await tileBytes(client, level, index, width));
  }
  return createEdge(size, levels);
};

const keepTiles = async (client: Query, edge: Edge): Promise<void> => {
  for (const { level, index, bytes } of edge.drain())
    await client.query(
      `insert into tile (level, idx, hashes) values ($1, $2, $3)
       on conflict (level, idx) do update set hashes = excluded.hashes`,
      [level, index, bytes],
    );
};

const stepEntriesMax = 2048;

/** Takes in what is committed; gives the checkpoint of it where there is a new one. */
const grow = async (client: Query, keys: LedgerKeys, at: Micros): Promise<string | undefined> => {
  const last = await newest(client);
  const edge = await edgeOf(client, last?.size ?? 0);
  for (let hashes: Buffer[]; (hashes = await hashesFrom(client, edge.size(), stepEntriesMax)).length > 0;)
    for (const hash of hashes) edge.append(hash);
  const size = edge.size();
  if (last?.size === size) return undefined;
  await keepTiles(client, edge);
  const root = edge.root();
  // What was read is committed and synced, and only then signed.
  const note = signCheckpoint({ origin: keys.origin, size, root }, keys.signers);
  await client.query("insert into checkpoint (size, root, note, at) values ($1, $2, $3, $4)", [
    size,
    root,
    note,
    at,
  ]);
  const minute = at - (at % 60_000_000);
  // Kept are the first of each minute, and the newest.
  await client.query(
    "delete from checkpoint where size < $1 and at >= $2 and size > (select min(size) from checkpoint where at >= $2)",
    [size, minute],
  );
  return note;
};

const readTile =
  (pool: pg.Pool): Tree["tile"] =>
  async ({ level, index, width }: TileName) => {
    const size = (await newest(pool))?.size ?? 0;
    if (width > widthAt(level, index, size)) return undefined;
    if (level !== "entries") return tileBytes(pool, level, index, width);
    const first = index * tileWidth;
    const { rows } = await pool.query<{ leaf: Buffer }>(
      "select leaf from entry where idx >= $1 and idx < $2 order by idx",
      [first, first + width],
    );
    // Asked afterwards: what was pruned meanwhile is no shorter bundle.
    const { before } = await prunedState(pool);
    if (first < before) throw prunedProblem(`the entries from ${first} on were pruned`, before);
    return bundleOf(rows.map(({ leaf }) => leaf));
  };

const outside = (field: string, size: number): Problem =>
  new Problem("not_found", `the newest checkpoint is of ${size} entries`, { field });

const proofsOf = (pool: pg.Pool, tile: Tree["tile"]): Pick<Tree, "inclusion" | "consistency"> => {
  const head = async (): Promise<{ size: number; note: string; source: LogSource }> => {
    const { size, note } = (await newest(pool)) ?? { size: 0, note: "" };
    return { size, note, source: { checkpoint: async () => note, tile } };
  };
  return {
    inclusion: async (index) => {
      const { size, note, source } = await head();
      if (index >= size) throw outside("index", size);
      const tileIndex = Math.floor(index / tileWidth);
      // Of a pruned entry the tile alone has it.
      const hashes = await tileBytes(pool, 0, tileIndex, widthAt(0, tileIndex, size));
      const place = (index % tileWidth) * hashBytes;
      const leafHash = hashes.subarray(place, place + hashBytes);
      const path = await proofFrom(source, size, (node) => inclusionPath(node, index, size));
      return { index, size, leafHash, path, checkpoint: note };
    },
    consistency: async (from, to) => {
      const { size, source } = await head();
      if (to > size) throw outside("to", size);
      if (from < 1 || from > to)
        throw new Problem("invalid_request", "from must be at least 1 and at most to", { field: "from" });
      return proofFrom(source, size, (node) => consistencyPath(node, from, to));
    },
  };
};

/** @throws Problem `not_ready` when a checkpoint that is known isn't one of this ledger's past */
const assertExtends = async (
  source: LogSource,
  keys: LedgerKeys,
  size: number,
  known: readonly string[],
): Promise<void> => {
  for (const note of known) {
    const opened = openCheckpoint(note, keys.verifiers);
    if ("fault" in opened) return refuse(`a checkpoint of it is not its own: ${opened.fault}`);
    const { head } = opened;
    if (head.size > size)
      refuse(
        `it holds ${size} entries, but a checkpoint of ${head.size} was signed: an older copy was put back`,
      );
    const [root] = await proofFrom(source, size, (node) => [rootOf(node, head.size)]);
    if (!root || Buffer.compare(root, head.root) !== 0)
      refuse(`its first ${head.size} entries are not those of the checkpoint that was signed of them`);
  }
};

/**
 * The tree, taken up where the newest checkpoint left it.
 * @throws Problem `not_ready` when the entries don't continue what was signed
 */
export const createTree = async (pool: pg.Pool, { keys, known, at }: TreeOptions): Promise<Tree> => {
  const tile = readTile(pool);
  const waiting = (now: Micros): Promise<string | undefined> =>
    transaction(pool, `select pg_advisory_xact_lock(${locks.tree})`, (client) => grow(client, keys, now));
  const checkpoint: Tree["checkpoint"] = async (now) => {
    await waiting(now);
    return (await newest(pool))!.note;
  };
  const sourceOf = (note: string): LogSource => ({ checkpoint: async () => note, tile });
  const last = await newest(pool);
  // Whoever has other keys extends nothing.
  if (last) await assertExtends(sourceOf(last.note), keys, last.size, [last.note]);
  const note = await checkpoint(at ?? (await readTime(pool)));
  const size = (await newest(pool))!.size;
  await assertExtends(sourceOf(note), keys, size, [note, ...known]);
  return {
    tile,
    ...proofsOf(pool, tile),
    checkpoint,
    integrate: (now) =>
      transaction(pool, "select 1", async (client) => {
        const { rows } = await client.query<{ taken: boolean }>(
          `select pg_try_advisory_xact_lock(${locks.tree}) as taken`,
        );
        return rows[0]?.taken === true ? grow(client, keys, now) : undefined;
      }),
  };
};
