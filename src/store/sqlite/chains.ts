/** The ends of chains, as rows. */
import type { Database } from "better-sqlite3";
import type { Head, HeadRows } from "../acts/chains.ts";

const rememberedMax = 10_000;

export const headRows = (db: Database): HeadRows => {
  const find = db.prepare<[string], Head>("select count, leaf_hash as hash from chain_head where key = ?");
  const upsert = db.prepare(
    "insert into chain_head (key, count, leaf_hash) values (?, ?, ?) on conflict (key) do update set count = excluded.count, leaf_hash = excluded.leaf_hash",
  );
  const remembered = new Map<string, Head>();
  return {
    find: (key) => remembered.get(key) ?? find.get(key),
    put: (key, head) => {
      upsert.run(key, head.count, head.hash);
      if (remembered.size >= rememberedMax) remembered.clear();
      remembered.set(key, head);
    },
  };
};
