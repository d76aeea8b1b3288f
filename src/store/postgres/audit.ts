/** Compares every balance with what the entries say, as of one moment. */
import type pg from "pg";
import { closingSums, type Sums } from "../../ledger/verify.ts";
import { addLeaf, type AuditedPeriod, type BalanceFault, balanceFaults } from "../acts/audit.ts";
import { readClosing } from "./closing.ts";
import { snapshot } from "./open.ts";
import { readRows } from "./rows.ts";

const pageEntries = 2000;

/** What differs; empty where everything agrees: `used` and `held` with the entries, `held` with the open holds. */
export const auditBalances = (pool: pg.Pool): Promise<BalanceFault[]> =>
  snapshot(pool, async (client) => {
    const sums: Sums = closingSums(await readClosing(client));
    for (let next = 0; ;) {
      const rows = await readRows<{ idx: number; leaf: Buffer }>(
        client,
        `select idx, leaf from entry where idx >= $1 order by idx limit ${pageEntries}`,
        [next],
      );
      for (const { leaf } of rows) addLeaf(sums, leaf);
      if (rows.length < pageEntries) break;
      next = rows.at(-1)!.idx + 1;
    }
    const periods = await readRows<AuditedPeriod>(
      client,
      `with open as (
         select (l ->> 'row')::bigint as account, (l ->> 'start')::bigint as start, sum((l ->> 'held')::bigint) as held
         from hold h, jsonb_array_elements(h.body::jsonb -> 'lines') l where h.state = 'open' group by 1, 2)
       select a.budget, a.name as account, n.name, p.start, p.used, p.held, coalesce(o.held, 0) as open
       from period p join account a on a.id = p.account
       left join pseudonym n on n.kind = 'account' and n.type = a.budget and n.id = a.name
       left join open o on o.account = p.account and o.start = p.start`,
    );
    return balanceFaults(periods, sums);
  });
