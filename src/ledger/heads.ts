/** The ends of all chains at one moment: a small tree of its own, so that one chain's end is shown without the others. */
import { leafHash } from "./entry.ts";
import { inclusionPath, rootOfList } from "./merkle.ts";

/** The end of a chain: how many entries it has, and the leaf hash of the last. */
export type ChainEnd = { key: string; count: number; last: Uint8Array };

/** The line of a chain, a leaf of the tree of heads. */
export const headLine = ({ key, count, last }: ChainEnd): string =>
  `${key}\t${count}\t${Buffer.from(last).toString("base64url")}`;

/** Chains in the order of their lines: by the bytes of their keys. */
export const inOrder = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));

const hashesOf = (ends: readonly ChainEnd[]): Buffer[] =>
  ends.toSorted((a, b) => inOrder(a.key, b.key)).map((end) => leafHash(Buffer.from(headLine(end), "utf8")));

/** The root over all chains. */
export const headsRoot = (ends: readonly ChainEnd[]): Uint8Array => rootOfList(hashesOf(ends));

/** A chain's line, its place among all, and the path from it to the root. */
export type HeadProof = { line: string; index: number; size: number; path: Uint8Array[] };

const proofAt = (ends: readonly ChainEnd[], hashes: readonly Uint8Array[], index: number): HeadProof => {
  // Few enough to be one row of the tree each time.
  const node = (height: number, at: number): Uint8Array =>
    rootOfList(hashes.slice(at * 2 ** height, (at + 1) * 2 ** height));
  return {
    line: headLine(ends[index]!),
    index,
    size: ends.length,
    path: inclusionPath(node, index, ends.length),
  };
};

/** The lines that settle what a chain's end is: its own, or the two between which it would stand. */
export const headProofs = (all: readonly ChainEnd[], key: string): HeadProof[] => {
  const ends = all.toSorted((a, b) => inOrder(a.key, b.key));
  const hashes = hashesOf(ends);
  const own = ends.findIndex((end) => end.key === key);
  if (own >= 0) return [proofAt(ends, hashes, own)];
  const after = ends.findIndex((end) => inOrder(end.key, key) > 0);
  const places = after < 0 ? [ends.length - 1] : [after - 1, after];
  return places.filter((place) => place >= 0).map((place) => proofAt(ends, hashes, place));
};
