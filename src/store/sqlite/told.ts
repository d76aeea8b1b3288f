/** What persons were told of, as rows. */
import type { Database } from "better-sqlite3";
import type { ToldRows } from "../acts/told.ts";

export const toldRows = (db: Database): ToldRows => {
  const note = db.prepare(
    "insert into burn (account, minute, used) values (?, ?, ?) on conflict do update set used = used + excluded.used",
  );
  const sum = db
    .prepare<[number, number], number>(
      "select coalesce(sum(used), 0) from burn where account = ? and minute >= ?",
    )
    .pluck();
  const forget = db.prepare("delete from burn where account = ? and minute < ?");
  const insert = db.prepare(
    "insert or ignore into told (account, start, threshold, limit_then) values (?, ?, ?, ?)",
  );
  return {
    once: ({ row, start, limit }, threshold) => insert.run(row, start, threshold, limit).changes === 1,
    burn: ({ row, more }, minute) => void note.run(row, minute, more),
    burnt: ({ row }, from) => sum.get(row, from)!,
    cool: ({ row }, before) => void forget.run(row, before),
  };
};
