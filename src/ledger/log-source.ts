/** Reads a log by its checkpoint and tiles alone, wherever it is: what is proved of it is worked out by the reader. */
import { parseHead } from "./checkpoint.ts";
import type { NodeReader } from "./merkle.ts";
import { emptyRoot } from "./merkle.ts";
import type { LedgerStore } from "./store.ts";
import { entriesIn, nodesInTiles, tilePath, tileWidth, widthAt } from "./tile.ts";

/** A log: a service's, or a database's. */
export type LogSource = Pick<LedgerStore, "checkpoint" | "tile"> & Partial<Pick<LedgerStore, "closing">>;

const tileOf = async (
  source: LogSource,
  level: number | "entries",
  index: number,
  size: number,
): Promise<Uint8Array> => {
  const name = { level, index, width: widthAt(level, index, size) };
  const bytes = await source.tile(name);
  if (!bytes) throw new Error(`the log doesn't give ${tilePath(name)}`);
  return bytes;
};

/** Makes a proof in the tree of `size` entries from as many tiles as it takes. */
export const proofFrom = async (
  source: LogSource,
  size: number,
  make: (node: NodeReader) => Uint8Array[],
): Promise<Uint8Array[]> => {
  const tiles = new Map<string, Uint8Array>();
  for (;;) {
    const missing: [number, number][] = [];
    const node = nodesInTiles((level, index) => {
      const tile = tiles.get(`${level} ${index}`);
      if (!tile) missing.push([level, index]);
      // Which tiles a proof takes doesn't depend on what they hold.
      return tile ?? Buffer.concat(Array.from({ length: tileWidth }, () => emptyRoot));
    });
    const path = make(node);
    if (missing.length === 0) return path;
    for (const [level, index] of missing)
      tiles.set(`${level} ${index}`, await tileOf(source, level, index, size));
  }
};

/** The entries from `first` to before `end`, in order, in the tree of `size`. */
export async function* entriesFrom(
  source: LogSource,
  { first, end, size }: { first: number; end: number; size: number },
): AsyncGenerator<{ index: number; leaf: Uint8Array }> {
  for (let bundle = Math.floor(first / tileWidth); bundle * tileWidth < end; bundle++) {
    const leaves = entriesIn(await tileOf(source, "entries", bundle, size));
    for (const [at, leaf] of leaves.entries()) {
      const index = bundle * tileWidth + at;
      if (index >= first && index < end) yield { index, leaf };
    }
  }
}

/** The hashes that the tree of `size` holds of its leaves, a tile at a time. */
export const leafHashesOf = (source: LogSource, size: number): ((index: number) => Promise<Uint8Array>) => {
  let [held, tile]: [number, Uint8Array] = [-1, Buffer.alloc(0)];
  return async (index) => {
    const wanted = Math.floor(index / tileWidth);
    if (wanted !== held) [held, tile] = [wanted, await tileOf(source, 0, wanted, size)];
    const at = (index % tileWidth) * 32;
    return tile.subarray(at, at + 32);
  };
};

/** The newest checkpoint of a log and its size. @throws Error where there is none */
export const newestOf = async (source: LogSource): Promise<{ note: string; size: number }> => {
  const note = await source.checkpoint();
  const head = parseHead(note.split("\n\n")[0] + "\n");
  if (!head) throw new Error("the log has no checkpoint");
  return { note, size: head.size };
};
