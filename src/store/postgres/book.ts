/** The budgets in force: what they count is the same in all processes. */
import type pg from "pg";
import type { Budget } from "../../budget/budget.ts";
import { type BookFault, bookFaults, type BudgetIdentity, identityOf } from "../acts/book.ts";
import { transaction } from "./open.ts";
import { locks } from "./schema.ts";

/** Keeps the identity of budgets that are new; where any differs from what was kept, all that do come back, and nothing is kept. */
export const keepBook = (pool: pg.Pool, budgets: readonly Budget[]): Promise<BookFault[]> =>
  transaction(pool, `select pg_advisory_xact_lock(${locks.order})`, async (client) => {
    const { rows } = await client.query<BudgetIdentity & { id: string }>(
      'select id, unit, per, span as "window" from budget where id = any($1)',
      [budgets.map(({ id }) => id)],
    );
    const kept = new Map(rows.map((row) => [row.id, row]));
    const faults = bookFaults(budgets, (id) => kept.get(id));
    if (faults.length > 0) return faults;
    for (const budget of budgets.filter(({ id }) => !kept.has(id))) {
      const { unit, per, window } = identityOf(budget);
      await client.query("insert into budget (id, unit, per, span) values ($1, $2, $3, $4)", [
        budget.id,
        unit,
        per,
        window,
      ]);
    }
    return faults;
  });
