/** Compares every balance with what the entries say. */
import type { Database } from "better-sqlite3";
import { closingSums, type Sums } from "../../ledger/verify.ts";
import { addLeaf, type AuditedPeriod, type BalanceFault, balanceFaults } from "../acts/audit.ts";
import { readClosing } from "./closing.ts";

/** Sums of the moves of all entries by window; accounts by pseudonym. */
const sumsOf = (db: Database): Sums => {
  const sums: Sums = closingSums(readClosing(db));
  const leaves = db.prepare<[], Buffer>("select leaf from entry order by idx").pluck();
  for (const leaf of leaves.iterate()) addLeaf(sums, leaf);
  return sums;
};

/** What differs; empty where everything agrees: `used` and `held` with the entries, `held` with the open holds. */
export const auditBalances = (db: Database, sums: Sums = sumsOf(db)): BalanceFault[] =>
  balanceFaults(
    db
      .prepare<[], AuditedPeriod>(
        `with open (account, start, held) as materialized (
           select l.value ->> 0, l.value ->> 1, sum(l.value ->> 3) from hold h, json_each(h.lines) l
           where h.state = 'open' group by 1, 2)
         select a.budget, a.name as account, n.name, p.start, p.used, p.held, coalesce(o.held, 0) as open
         from period p join account a on a.id = p.account
         left join pseudonym n on n.kind = 'account' and n.type = a.budget and n.id = a.name
         left join open o on o.account = p.account and o.start = p.start`,
      )
      .iterate(),
    sums,
  );
