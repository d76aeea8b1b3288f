/** The chains of agents and labels through the ledger: how many entries each has, and the hash of its last. */
import type { Database } from "better-sqlite3";
import type { ChainLink } from "../../ledger/entry.ts";

export type Chains = {
  /** What the next entry on these chains says of each. */
  links: (keys: readonly string[]) => ChainLink[];
  /** That entry is now the last of each. */
  extend: (keys: readonly string[], leafHash: Uint8Array) => void;
};

type Head = { count: number; hash: Uint8Array };

const rememberedMax = 10_000;

export const createChains = (db: Database): Chains => {
  const find = db.prepare<[string], Head>("select count, leaf_hash as hash from chain_head where key = ?");
  const upsert = db.prepare(
    "insert into chain_head (key, count, leaf_hash) values (?, ?, ?) on conflict (key) do update set count = excluded.count, leaf_hash = excluded.leaf_hash",
  );
  const remembered = new Map<string, Head | undefined>();
  const headOf = (key: string): Head | undefined => {
    if (remembered.has(key)) return remembered.get(key);
    return find.get(key);
  };
  return {
    links: (keys) =>
      keys.map((key) => {
        const head = headOf(key);
        return { key, count: (head?.count ?? 0) + 1, previous: head?.hash };
      }),
    extend: (keys, hash) => {
      for (const key of keys) {
        const count = (headOf(key)?.count ?? 0) + 1;
        upsert.run(key, count, hash);
        if (remembered.size >= rememberedMax) remembered.clear();
        remembered.set(key, { count, hash });
      }
    },
  };
};
