/** What the database tells of the ledger for metrics: small reads. */
import type pg from "pg";
import type { SmallFigures } from "../acts/figures.ts";
import { readRows } from "./rows.ts";

type Counted = Omit<SmallFigures, "outbox"> & Record<string, unknown>;
type OutboxRow = { sink: string; pending: number; dead: number; oldest: number | null };

export const smallFigures = (pool: pg.Pool) => async (): Promise<SmallFigures> => {
  const [counted] = await readRows<Counted>(
    pool,
    `select (select coalesce(max(idx) + 1, 0) from entry) as entries,
       coalesce((select size from checkpoint order by size desc limit 1), 0) as signed,
       coalesce((select at from checkpoint order by size desc limit 1), 0) as "signedAt",
       pg_database_size(current_database()) as "fileBytes",
       (select count(*) from hold where state = 'open') as "holdsOpen"`,
  );
  const outbox = await readRows<OutboxRow>(
    pool,
    `select d.sink, count(*) filter (where d.state = 'pending') as pending,
       count(*) filter (where d.state = 'dead') as dead,
       min(a.at) filter (where d.state = 'pending') as oldest
     from alert_delivery d join alert a on a.id = d.alert
     where d.state in ('pending', 'dead') group by d.sink order by d.sink collate "C"`,
  );
  return {
    ...counted!,
    outbox: outbox.map(({ oldest, ...row }) => ({
      ...row,
      ...(oldest === null ? {} : { oldestAt: oldest }),
    })),
  };
};
