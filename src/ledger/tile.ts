/**
 * Tiles (C2SP tlog-tiles): the tree cut into pieces of 256 hashes, and the entries into bundles of 256. A tile never
 * changes; one that isn't full yet has its number of hashes in its name.
 */
import { leafBytesMax } from "./entry.ts";
import { hashBytes, type NodeReader, rootOfList } from "./merkle.ts";

/** Hashes of a full tile, entries of a full bundle. */
export const tileWidth = 256;
const tileHeight = 8;

/** `level` counts from the leaves; a bundle of entries has none. `width` is how many hashes or entries it holds. */
export type TileName = { level: number | "entries"; index: number; width: number };

/** How many hashes the tile `index` of a level has in the tree of `size` leaves, from 0 to 256. */
export const widthAt = (level: number | "entries", index: number, size: number): number => {
  const hashes = Math.floor(size / tileWidth ** (level === "entries" ? 0 : level));
  return Math.max(0, Math.min(tileWidth, hashes - index * tileWidth));
};

const indexText = (index: number): string => {
  const groups: string[] = [];
  for (let rest = index; groups.length === 0 || rest > 0; rest = Math.floor(rest / 1000))
    groups.unshift(`${groups.length === 0 ? "" : "x"}${String(rest % 1000).padStart(3, "0")}`);
  return groups.join("/");
};

/** The path of a tile below the log's prefix: `tile/<level>/<index>[.p/<width>]`. */
export const tilePath = ({ level, index, width }: TileName): string =>
  `tile/${level}/${indexText(index)}${width === tileWidth ? "" : `.p/${width}`}`;

const pathPattern = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** Reads the path of a tile; there is one spelling of each. */
export const parseTilePath = (path: string): TileName | undefined => {
  const match = pathPattern.exec(path);
  if (!match) return undefined;
  const [, level, index, width] = match;
  const name: TileName = {
    level: level === "entries" ? level : Number(level),
    index: Number(index!.replaceAll(/[x/]/g, "")),
    width: width === undefined ? tileWidth : Number(width),
  };
  return tilePath(name) === path && Number.isSafeInteger(name.index) ? name : undefined;
};

/** The hashes of a tile one by one. */
export const hashesIn = (tile: Uint8Array): Uint8Array[] =>
  Array.from({ length: tile.length / hashBytes }, (_, at) =>
    tile.subarray(at * hashBytes, (at + 1) * hashBytes),
  );

/** Finds nodes in tiles. `tile` gives at least `width` hashes of a tile. */
export const nodesInTiles =
  (tile: (level: number, index: number, width: number) => Uint8Array): NodeReader =>
  (height, index) => {
    const level = Math.floor(height / tileHeight);
    const count = 2 ** (height % tileHeight);
    const first = index * count;
    const at = first % tileWidth;
    const hashes = hashesIn(tile(level, Math.floor(first / tileWidth), at + count)).slice(at, at + count);
    return rootOfList(hashes);
  };

/** A tile as it is after an append. Those of level 0 are told of when they are full, others whenever they grow. */
export type GrownTile = { level: number; index: number; bytes: Buffer };

export type Edge = {
  size: () => number;
  /** Appends a leaf hash. */
  append: (leafHash: Uint8Array) => void;
  root: () => Uint8Array;
  /** Tiles that became full or, above level 0, grew since the last time. */
  drain: () => GrownTile[];
};

/** The right edge of a tree of `size` leaves, which is all that growing needs. `tiles` has what is begun, by level. */
export const createEdge = (size = 0, tiles: readonly Uint8Array[] = []): Edge => {
  const levels = tiles.map((bytes) => hashesIn(bytes));
  const grown = new Map<string, GrownTile>();
  let leaves = size;
  const tell = (level: number, hashes: readonly Uint8Array[]): void => {
    const count = Math.floor(leaves / tileWidth ** level);
    const index = Math.floor((count - 1) / tileWidth);
    grown.set(`${level} ${index}`, { level, index, bytes: Buffer.concat(hashes) });
  };
  const push = (level: number, hash: Uint8Array): void => {
    const hashes = (levels[level] ??= []);
    hashes.push(hash);
    const full = hashes.length === tileWidth;
    if (full || level > 0) tell(level, hashes);
    if (!full) return;
    levels[level] = [];
    push(level + 1, rootOfList(hashes));
  };
  return {
    size: () => leaves,
    append: (hash) => {
      leaves++;
      push(0, hash);
    },
    root: () => {
      let carried: Uint8Array[] = [];
      for (const hashes of levels) {
        const list = [...hashes, ...carried];
        carried = list.length === 0 ? [] : [rootOfList(list)];
      }
      return rootOfList(carried);
    },
    drain: () => {
      const tiles = [...grown.values()];
      grown.clear();
      return tiles;
    },
  };
};

/** Entries as a bundle: each with its length before it, in two bytes, big-endian. */
export const bundleOf = (entries: readonly Uint8Array[]): Buffer =>
  Buffer.concat(entries.flatMap((entry) => [Buffer.from([entry.length >> 8, entry.length & 0xff]), entry]));

/** The entries of a bundle. @throws Error for bytes that are none */
export const entriesIn = (bundle: Uint8Array): Uint8Array[] => {
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bundle.length;) {
    const end = at + 2 + (bundle[at]! << 8) + (bundle[at + 1] ?? 0);
    if (end > bundle.length || end - at - 2 > leafBytesMax)
      throw new Error("the bundle of entries is cut off or none");
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return entries;
};
