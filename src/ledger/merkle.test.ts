/** The tree against the vectors of RFC 6962's reference implementation, and against the RFC's own recursion. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sha256 } from "../kit/digest.ts";
import { leafHash } from "./entry.ts";
import {
  consistencyPath,
  emptyRoot,
  inclusionPath,
  nodeHash,
  rangePath,
  rootFromRange,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
import { createEdge, nodesInTiles } from "./tile.ts";

/** RFC 6962 §2.1, word for word. */
const naiveRoot = (leaves: readonly Uint8Array[]): Uint8Array => {
  if (leaves.length === 0) return sha256("");
  if (leaves.length === 1) return leafHash(leaves[0]!);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Uint8Array.of(1), naiveRoot(leaves.slice(0, split)), naiveRoot(leaves.slice(split)));
};

/** RFC 6962 §2.1.1. */
const naivePath = (index: number, leaves: readonly Uint8Array[]): Uint8Array[] => {
  if (leaves.length === 1) return [];
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return index < split
    ? [...naivePath(index, left), naiveRoot(right)]
    : [...naivePath(index - split, right), naiveRoot(left)];
};

/** RFC 6962 §2.1.2. */
const naiveProof = (from: number, leaves: readonly Uint8Array[], whole = true): Uint8Array[] => {
  if (from === leaves.length) return whole ? [] : [naiveRoot(leaves)];
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return from <= split
    ? [...naiveProof(from, left, whole), naiveRoot(right)]
    : [...naiveProof(from - split, right, false), naiveRoot(left)];
};

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const leavesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => Buffer.from(`entry ${n}`));

/** The tree of leaves as the service keeps it: in tiles. */
const treeOf = (leaves: readonly Uint8Array[]) => {
  const edge = createEdge();
  const tiles = new Map<string, Buffer>();
  const level0 = leaves.map(leafHash);
  for (const leaf of level0) edge.append(leaf);
  for (const { level, index, bytes } of edge.drain()) tiles.set(`${level} ${index}`, bytes);
  const node = nodesInTiles((level, index) =>
    level === 0
      ? Buffer.concat(level0.slice(index * 256, index * 256 + 256))
      : tiles.get(`${level} ${index}`)!,
  );
  return { edge, node, level0 };
};

describe("the vectors of the reference implementation", () => {
  const inputs = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ];
  const leaves = inputs.map((text) => Buffer.from(text, "hex"));
  const roots = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];

  test("the roots of the first n entries are those published", () => {
    expect(hex(emptyRoot)).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (const [position, root] of roots.entries()) {
      const { edge, node } = treeOf(leaves.slice(0, position + 1));
      expect([hex(edge.root()), hex(rootOf(node, position + 1))]).toEqual([root, root]);
    }
  });

  test("the published audit paths and consistency proofs come out", () => {
    const { node } = treeOf(leaves);
    expect(inclusionPath(node, 0, 8).map(hex)).toEqual([
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    expect(consistencyPath(node, 6, 8).map(hex)).toEqual([
      "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
  });
});

const sizes = fc.integer({ min: 1, max: 1200 });
const runs = { numRuns: 60 };

test("roots and proofs of any tree are those of the RFC's recursion, and hold", () => {
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, a, b) => {
      const [index, from] = [a % size, 1 + (b % size)];
      const leaves = leavesOf(size);
      const { node, edge, level0 } = treeOf(leaves);
      const root = edge.root();
      expect(hex(root)).toBe(hex(naiveRoot(leaves)));
      const path = inclusionPath(node, index, size);
      expect(path.map(hex)).toEqual(naivePath(index, leaves).map(hex));
      expect(verifyInclusion({ index, size, leaf: level0[index]!, path, root })).toBe(true);
      const proof = consistencyPath(node, from, size);
      expect(proof.map(hex)).toEqual(naiveProof(from, leaves).map(hex));
      const fromRoot = rootOf(node, from);
      expect(verifyConsistency({ from, to: size, fromRoot, toRoot: root, path: proof })).toBe(true);
    }),
    runs,
  );
});

test("a proof with any bit, place, size or length changed proves nothing", () => {
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, a, bit) => {
      const index = a % size;
      const { node, edge, level0 } = treeOf(leavesOf(size));
      const root = edge.root();
      const leaf = level0[index]!;
      const path = inclusionPath(node, index, size);
      const good = { index, size, leaf, path, root };
      const flipped = (bytes: Uint8Array): Uint8Array => {
        const copy = Buffer.from(bytes);
        copy[(bit >> 3) % 32]! ^= 1 << (bit & 7);
        return copy;
      };
      expect(verifyInclusion({ ...good, leaf: flipped(leaf) })).toBe(false);
      expect(verifyInclusion({ ...good, root: flipped(root) })).toBe(false);
      expect(verifyInclusion({ ...good, path: [...path, leaf] })).toBe(false);
      expect(verifyInclusion({ ...good, index: size })).toBe(false);
      const other = (index + 1 + (bit % size)) % size;
      expect(verifyInclusion({ ...good, index: other })).toBe(other === index);
      if (path.length === 0) return;
      const at = bit % path.length;
      expect(verifyInclusion({ ...good, path: path.with(at, flipped(path[at]!)) })).toBe(false);
      expect(verifyInclusion({ ...good, path: path.toSpliced(at, 1) })).toBe(false);
      const from = 1 + (bit % size);
      const consistent = {
        from,
        to: size,
        fromRoot: rootOf(node, from),
        toRoot: root,
        path: consistencyPath(node, from, size),
      };
      expect(verifyConsistency({ ...consistent, fromRoot: flipped(consistent.fromRoot) })).toBe(false);
      expect(verifyConsistency({ ...consistent, toRoot: flipped(root) })).toBe(false);
      expect(verifyConsistency({ ...consistent, path: [...consistent.path, leaf] })).toBe(false);
      expect(verifyConsistency({ ...consistent, from: 0 })).toBe(false);
    }),
    runs,
  );
});

test("a range of leaves gives the root with the path beside it, and with no other leaves", () => {
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, a, b) => {
      const low = a % size;
      const high = low + 1 + (b % (size - low));
      const { node, edge, level0 } = treeOf(leavesOf(size));
      const path = rangePath(node, low, high, size);
      const leaves = level0.slice(low, high);
      expect(hex(rootFromRange(leaves, low, size, path)!)).toBe(hex(edge.root()));
      const wrong = leaves.with(b % leaves.length, nodeHash(emptyRoot, emptyRoot));
      expect(hex(rootFromRange(wrong, low, size, path)!)).not.toBe(hex(edge.root()));
      expect(rootFromRange(leaves, low, size, [...path, emptyRoot])).toBeUndefined();
    }),
    runs,
  );
});
