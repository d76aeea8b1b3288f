/** The ends of all chains on the working set, and whether they should be logged. */
import type pg from "pg";
import type { Micros } from "../../kit/clock.ts";
import type { ChainEnds } from "../acts/heads.ts";
import { bytesOf } from "./rows.ts";
import type { WorkingSet } from "./working-set.ts";

type HeadRow = { key: string; count: number; leaf_hash: string };
type NameRow = { name: string; kind: string; id: string };

export const chainEnds = (set: WorkingSet): ChainEnds => ({
  all: () =>
    set
      .rows<HeadRow>("chain_head", "heads", [], () => true)
      .map(({ key, count, leaf_hash }) => ({ key, count, last: bytesOf(leaf_hash) })),
  named: (id) =>
    set
      .rows<NameRow>("pseudonym", "entityNames", [id], (row) => row.kind === "entity" && row.id === id)
      .map(({ name }) => name),
});

/** Whether entries came since the ends were last logged, by whichever process, and that is long enough ago. */
export const headsDue = async (pool: pg.Pool, at: Micros, intervalMicros: number): Promise<boolean> => {
  const { rows } = await pool.query<{ kind: string; since: string }>(
    `select kind, coalesce(
       (select at from entry where kind = 'heads' order by idx desc limit 1),
       (select at from entry order by idx limit 1)) as since
     from entry order by idx desc limit 1`,
  );
  const [newest] = rows;
  if (!newest || newest.kind === "heads") return false;
  return at - Number(newest.since) >= intervalMicros;
};
