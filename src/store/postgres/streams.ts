/** How far each sink of entries is: written after it took them. */
import type pg from "pg";
import { readRows } from "./rows.ts";

export type Streams = {
  cursor: (name: string) => Promise<number | undefined>;
  /** Never goes back: what a process that was slow says late changes nothing. */
  move: (cursor: { name: string; index: number }) => Promise<void>;
};

export const createStreams = (pool: pg.Pool): Streams => ({
  cursor: async (name) => {
    const [row] = await readRows<{ idx: number }>(pool, "select idx from stream_cursor where name = $1", [
      name,
    ]);
    return row?.idx;
  },
  move: async ({ name, index }) => {
    await readRows(
      pool,
      `insert into stream_cursor (name, idx) values ($1, $2)
       on conflict (name) do update set idx = excluded.idx where stream_cursor.idx < excluded.idx`,
      [name, index],
    );
  },
});
