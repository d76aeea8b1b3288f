/** The budgets in force, as rows. */
import type { Database } from "better-sqlite3";
import type { BookRows, BudgetIdentity } from "../acts/book.ts";

export const bookRows = (db: Database): BookRows => {
  const find = db.prepare<[string], BudgetIdentity>("select unit, per, window from budget where id = ?");
  const insert = db.prepare("insert into budget (id, unit, per, window) values (?, ?, ?, ?)");
  return {
    find: (id) => find.get(id),
    insert: (id, { unit, per, window }) => void insert.run(id, unit, per, window),
  };
};
