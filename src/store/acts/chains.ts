/** The chains of agents and labels through the ledger: how many entries each has, and the hash of its last. */
import type { ChainLink } from "../../ledger/entry.ts";

/** How many entries a chain has, and the leaf hash of the last one. */
export type Head = { count: number; hash: Uint8Array };

/** What a store keeps of chains. */
export type HeadRows = {
  find: (key: string) => Head | undefined;
  put: (key: string, head: Head) => void;
};

/** What the next entry on these chains says of each. */
export const chainLinks = (heads: HeadRows, keys: readonly string[]): ChainLink[] =>
  keys.map((key) => {
    const head = heads.find(key);
    return { key, count: (head?.count ?? 0) + 1, previous: head?.hash };
  });

/** The entry of this hash is now the last of each. */
export const extendChains = (heads: HeadRows, keys: readonly string[], hash: Uint8Array): void => {
  for (const key of keys) heads.put(key, { count: (heads.find(key)?.count ?? 0) + 1, hash });
};
