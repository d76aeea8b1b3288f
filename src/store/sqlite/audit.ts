/** Recomputes every balance from the entries' own bytes and compares: what the ledger says and what accounts hold must agree. */
import type { Database } from "better-sqlite3";
import { readClosing } from "./closing.ts";
import { closingSums, sumKey, type Sums } from "../../ledger/verify.ts";

/** A window of an account that differs, or a hold whose lines do. */
export type BalanceFault = { budget: string; account: string; start: number; message: string };

type MoveRecord = { budget: string; account: string; start: number; used?: number; held?: number };
type PeriodRow = { budget: string; account: string; start: number; used: number; held: number; open: number };

/** Sums of the moves of all entries by window; accounts by pseudonym. */
const sumsOf = (db: Database): Sums => {
  const sums: Sums = closingSums(readClosing(db));
  const leaves = db.prepare<[], Buffer>("select leaf from entry order by idx").pluck();
  for (const leaf of leaves.iterate()) {
    const { rec } = JSON.parse(leaf.toString("utf8")) as { rec: { moves?: MoveRecord[] } };
    for (const { budget, account, start, used = 0, held = 0 } of rec.moves ?? []) {
      const key = sumKey(budget, account, start);
      const sum = sums.get(key) ?? { used: 0, held: 0 };
      sums.set(key, { used: sum.used + used, held: sum.held + held });
    }
  }
  return sums;
};

/** What differs; empty where everything agrees: `used` and `held` with the entries, `held` with the open holds. */
export const auditBalances = (db: Database, sums: Sums = sumsOf(db)): BalanceFault[] => {
  const faults: BalanceFault[] = [];
  const rows = db.prepare<[], PeriodRow>(
    `with open (account, start, held) as materialized (
       select l.value ->> 0, l.value ->> 1, sum(l.value ->> 3) from hold h, json_each(h.lines) l
       where h.state = 'open' group by 1, 2)
     select a.budget, a.name as account, p.start, p.used, p.held, coalesce(o.held, 0) as open
     from period p join account a on a.id = p.account
     left join open o on o.account = p.account and o.start = p.start`,
  );
  const pseudonym = db
    .prepare<[string, string], string>(
      "select name from pseudonym where kind = 'account' and type = ? and id = ?",
    )
    .pluck();
  for (const { budget, account, start, used, held, open } of rows.iterate()) {
    const name = pseudonym.get(budget, account);
    const key = sumKey(budget, name ?? "", start);
    const sum = sums.get(key) ?? { used: 0, held: 0 };
    sums.delete(key);
    const fault = (message: string): void => void faults.push({ budget, account, start, message });
    if (sum.used !== used) fault(`used is ${used}, the entries say ${sum.used}`);
    if (sum.held !== held) fault(`held is ${held}, the entries say ${sum.held}`);
    if (open !== held) fault(`held is ${held}, open holds say ${open}`);
  }
  for (const [key, { used, held }] of sums) {
    if (used === 0 && held === 0) continue;
    const [budget, account, start] = JSON.parse(key) as [string, string, number];
    faults.push({
      budget,
      account,
      start,
      message: `the entries say used ${used} and held ${held}, no row does`,
    });
  }
  return faults;
};
