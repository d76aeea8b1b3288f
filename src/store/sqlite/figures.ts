/** What the ledger's file tells of itself for metrics: small reads. */
import { statSync } from "node:fs";
import type { Database } from "better-sqlite3";
import type { SmallFigures } from "../acts/figures.ts";

export const smallFigures = (db: Database): (() => SmallFigures) => {
  const entries = db.prepare<[], number>("select coalesce(max(idx) + 1, 0) from entry").pluck();
  const checkpoint = db.prepare<[], { size: number; at: number }>(
    "select size, at from checkpoint order by size desc limit 1",
  );
  const holds = db.prepare<[], number>("select count(*) from hold where state = 'open'").pluck();
  const outbox = db.prepare<[], { sink: string; pending: number; dead: number; oldest: number | null }>(
    `select d.sink as sink, sum(d.state = 'pending') as pending, sum(d.state = 'dead') as dead,
       min(case when d.state = 'pending' then a.at end) as oldest
     from alert_delivery d join alert a on a.seq = d.seq
     where d.state in ('pending', 'dead') group by d.sink order by d.sink`,
  );
  return () => {
    const newest = checkpoint.get() ?? { size: 0, at: 0 };
    return {
      entries: entries.get()!,
      signed: newest.size,
      signedAt: newest.at,
      fileBytes: statSync(db.name).size,
      holdsOpen: holds.get()!,
      outbox: outbox
        .all()
        .map(({ oldest, ...row }) => ({ ...row, ...(oldest === null ? {} : { oldestAt: oldest }) })),
    };
  };
};
