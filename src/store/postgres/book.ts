/** The budgets in force on the working set: what they count is the same in all processes. */
import type { BookRows } from "../acts/book.ts";
import type { WorkingSet } from "./working-set.ts";

type BudgetRow = { id: string; unit: string; per: string; span: string };

export const bookRows = (set: WorkingSet): BookRows => ({
  find: (id) => {
    const row = set.one<BudgetRow>("budget", "budget", [id], (each) => each.id === id);
    return row && { unit: row.unit, per: row.per, window: row.span };
  },
  insert: (id, { unit, per, window: span }) => set.put("budget", { id, unit, per, span }),
});
