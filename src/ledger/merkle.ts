/** The Merkle tree of RFC 6962 §2.1 over leaf hashes: roots, proofs and their verification. */
import { hash } from "node:crypto";
import { assert } from "../kit/assert.ts";

export const hashBytes = 32;

/** The root of nothing: the hash of the empty string. */
export const emptyRoot: Buffer = hash("sha256", "", "buffer");

/** The hash of an inner node. */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer => {
  const bytes = Buffer.allocUnsafe(1 + 2 * hashBytes);
  bytes[0] = 1;
  bytes.set(left, 1);
  bytes.set(right, 1 + hashBytes);
  return hash("sha256", bytes, "buffer");
};

/** The largest power of two below `n`; `n` is at least 2. Doubling is exact where logarithms of large sizes are not. */
const splitOf = (n: number): number => {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
};

/**
 * The root over complete subtrees of one height in order, of which the last may be incomplete. That is the tree of
 * RFC 6962 too: its splits fall between them.
 */
export const rootOfList = (hashes: readonly Uint8Array[]): Uint8Array => {
  if (hashes.length === 0) return emptyRoot;
  let row = hashes;
  while (row.length > 1) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < row.length; at += 2)
      above.push(at + 1 < row.length ? nodeHash(row[at]!, row[at + 1]!) : row[at]!);
    row = above;
  }
  return row[0]!;
};

/** Gives the root of the complete subtree of 2^`height` leaves that is the `index`th of its height. */
export type NodeReader = (height: number, index: number) => Uint8Array;

/** The root over the leaves from `low` to before `high`, a subtree of the RFC's recursion. */
const subtreeOf = (node: NodeReader, low: number, high: number): Uint8Array => {
  const count = high - low;
  if (count === 1) return node(0, low);
  const split = splitOf(count);
  if (split * 2 === count) return node(Math.round(Math.log2(count)), low / count);
  const middle = low + split;
  return nodeHash(subtreeOf(node, low, middle), subtreeOf(node, middle, high));
};

/** The root of the first `size` leaves. */
export const rootOf = (node: NodeReader, size: number): Uint8Array =>
  size === 0 ? emptyRoot : subtreeOf(node, 0, size);

/** The audit path of a leaf in the tree of `size` leaves (§2.1.1), from the leaf up. */
export const inclusionPath = (node: NodeReader, index: number, size: number): Uint8Array[] => {
  assert(index >= 0 && index < size, "a leaf outside the tree was to be proved");
  const path: Uint8Array[] = [];
  for (let low = 0, high = size; high - low > 1;) {
    const middle = low + splitOf(high - low);
    if (index < middle) {
      path.push(subtreeOf(node, middle, high));
      high = middle;
    } else {
      path.push(subtreeOf(node, low, middle));
      low = middle;
    }
  }
  return path.reverse();
};

/** The proof that the tree of `from` leaves is the beginning of the one of `to` (§2.1.2). `from` is at least 1. */
export const consistencyPath = (node: NodeReader, from: number, to: number): Uint8Array[] => {
  assert(from >= 1 && from <= to, "a tree is consistent with a larger one only");
  const path: Uint8Array[] = [];
  let [low, high] = [0, to];
  while (high !== from) {
    const middle = low + splitOf(high - low);
    if (from <= middle) {
      path.push(subtreeOf(node, middle, high));
      high = middle;
    } else {
      path.push(subtreeOf(node, low, middle));
      low = middle;
    }
  }
  // The old root itself is known to whoever asks.
  if (low !== 0) path.push(subtreeOf(node, low, high));
  return path.reverse();
};

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const areHashes = (hashes: readonly Uint8Array[]): boolean =>
  hashes.every(({ length }) => length === hashBytes);

const areCounts = (...counts: number[]): boolean =>
  counts.every((count) => Number.isSafeInteger(count) && count >= 0);

/** What an audit path says the root is; undefined where it is no path of that leaf. */
export const rootFromInclusion = (
  index: number,
  size: number,
  leaf: Uint8Array,
  path: readonly Uint8Array[],
): Uint8Array | undefined => {
  if (!areCounts(index, size) || index >= size || !areHashes([leaf, ...path])) return undefined;
  const rest = [...path];
  const climb = (position: number, count: number): Uint8Array | undefined => {
    if (count === 1) return rest.length === 0 ? leaf : undefined;
    const sibling = rest.pop();
    if (!sibling) return undefined;
    const split = splitOf(count);
    const left = position < split;
    const own = left ? climb(position, split) : climb(position - split, count - split);
    if (!own) return undefined;
    return left ? nodeHash(own, sibling) : nodeHash(sibling, own);
  };
  return climb(index, size);
};

export type Inclusion = {
  index: number;
  size: number;
  leaf: Uint8Array;
  path: readonly Uint8Array[];
  root: Uint8Array;
};

/** Whether the leaf hash stands at `index` in the tree of that root. */
export const verifyInclusion = ({ index, size, leaf, path, root }: Inclusion): boolean => {
  const found = rootFromInclusion(index, size, leaf, path);
  return found !== undefined && same(found, root);
};

export type Consistency = {
  from: number;
  to: number;
  fromRoot: Uint8Array;
  toRoot: Uint8Array;
  path: readonly Uint8Array[];
};

type Roots = { old: Uint8Array; new: Uint8Array };

/** Whether the tree of `to` leaves begins with the one of `from`. Nothing is proved of an empty tree. */
export const verifyConsistency = ({ from, to, fromRoot, toRoot, path }: Consistency): boolean => {
  if (!areCounts(from, to) || from === 0 || from > to || !areHashes([fromRoot, toRoot, ...path]))
    return false;
  const rest = [...path];
  const climb = (old: number, count: number, whole: boolean): Roots | undefined => {
    if (old === count) {
      const root = whole ? fromRoot : rest.pop();
      return root && { old: root, new: root };
    }
    const sibling = rest.pop();
    if (!sibling) return undefined;
    const split = splitOf(count);
    if (old <= split) {
      const left = climb(old, split, whole);
      return left && { old: left.old, new: nodeHash(left.new, sibling) };
    }
    const right = climb(old - split, count - split, false);
    return right && { old: nodeHash(sibling, right.old), new: nodeHash(sibling, right.new) };
  };
  const roots = climb(from, to, true);
  return rest.length === 0 && roots !== undefined && same(roots.old, fromRoot) && same(roots.new, toRoot);
};

/** What of the tree lies outside the leaves from `low` to before `high`: with those leaves it gives the root. */
export const rangePath = (node: NodeReader, low: number, high: number, size: number): Uint8Array[] => {
  assert(low >= 0 && low < high && high <= size, "a range outside the tree was to be proved");
  const path: Uint8Array[] = [];
  const walk = (from: number, to: number): void => {
    if (to <= low || from >= high) path.push(subtreeOf(node, from, to));
    else if (from < low || to > high) {
      const middle = from + splitOf(to - from);
      walk(from, middle);
      walk(middle, to);
    }
  };
  walk(0, size);
  return path;
};

/** The root that the leaves from `low` on and the path beside them make; undefined where they don't fit. */
export const rootFromRange = (
  leaves: readonly Uint8Array[],
  low: number,
  size: number,
  path: readonly Uint8Array[],
): Uint8Array | undefined => {
  const high = low + leaves.length;
  if (!areCounts(low, size) || leaves.length === 0 || high > size || !areHashes(path)) return undefined;
  let used = 0;
  const walk = (from: number, to: number): Uint8Array | undefined => {
    if (to <= low || from >= high) return path[used++];
    if (from >= low && to <= high) return rootOfList(leaves.slice(from - low, to - low));
    const middle = from + splitOf(to - from);
    const left = walk(from, middle);
    const right = walk(middle, to);
    return left && right && nodeHash(left, right);
  };
  const root = walk(0, size);
  return used === path.length ? root : undefined;
};
