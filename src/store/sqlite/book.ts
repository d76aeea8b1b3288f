/** The budgets in force, and what the ledger has against a file that changes what a budget counts. */
import type { Database } from "better-sqlite3";
import type { Budget } from "../../budget/budget.ts";
import { canonicalJson } from "../../kit/digest.ts";

/** Why a budget can't be taken over. */
export type BookFault = { budget: string; message: string };

type Row = { unit: string; per: string; window: string };

/** What of a budget can't change under its id, as text. */
const identityOf = ({ unit, per, window }: Budget): Row => ({
  unit,
  per: canonicalJson(per),
  window: canonicalJson(window),
});

/** Keeps the identity of budgets that are new; where any differs from what was kept, all that do come back, and nothing is kept. */
export const keepBook = (db: Database, budgets: readonly Budget[]): BookFault[] => {
  const find = db.prepare<[string], Row>("select unit, per, window from budget where id = ?");
  const faults: BookFault[] = [];
  for (const budget of budgets) {
    const wanted = identityOf(budget);
    const kept = find.get(budget.id) ?? wanted;
    for (const what of ["unit", "per", "window"] as const)
      if (kept[what] !== wanted[what])
        faults.push({
          budget: budget.id,
          message: `the ${what} of \`${budget.id}\` was ${kept[what]} and can't change: give the budget another id`,
        });
  }
  if (faults.length > 0) return faults;
  const insert = db.prepare("insert or ignore into budget (id, unit, per, window) values (?, ?, ?, ?)");
  for (const budget of budgets) {
    const { unit, per, window } = identityOf(budget);
    insert.run(budget.id, unit, per, window);
  }
  return faults;
};
