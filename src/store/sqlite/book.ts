/** The budgets in force, as rows. */
import type { Database } from "better-sqlite3";
import type { Budget } from "../../budget/budget.ts";
import { type BookFault, bookFaults, type BudgetIdentity, identityOf } from "../acts/book.ts";

/** Keeps the identity of budgets that are new; where any differs from what was kept, all that do come back, and nothing is kept. */
export const keepBook = (db: Database, budgets: readonly Budget[]): BookFault[] => {
  const find = db.prepare<[string], BudgetIdentity>("select unit, per, window from budget where id = ?");
  const faults = bookFaults(budgets, (id) => find.get(id));
  if (faults.length > 0) return faults;
  const insert = db.prepare("insert or ignore into budget (id, unit, per, window) values (?, ?, ?, ?)");
  for (const budget of budgets) {
    const { unit, per, window } = identityOf(budget);
    insert.run(budget.id, unit, per, window);
  }
  return faults;
};
