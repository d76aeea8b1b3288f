/** How far each sink of entries is: written after it took them. */
import type { Database } from "better-sqlite3";

/** One step of the migration. */
export const streamTables = `
  create table stream_cursor (
    name text primary key,
    idx integer not null
  ) strict, without rowid;
`;

export type StreamRows = {
  cursor: (name: string) => number | undefined;
  move: (cursor: { name: string; index: number }) => void;
};

export const streamRows = (db: Database): StreamRows => {
  const find = db.prepare<[string], number>("select idx from stream_cursor where name = ?").pluck();
  const move = db.prepare(
    "insert into stream_cursor (name, idx) values (?, ?) on conflict do update set idx = excluded.idx",
  );
  return {
    cursor: (name) => find.get(name),
    move: ({ name, index }) => void move.run(name, index),
  };
};
