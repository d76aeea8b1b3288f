/** What a ledger has against budgets that change what they count. */
import type { Budget } from "../../budget/budget.ts";
import { canonicalJson } from "../../kit/digest.ts";
import type { Desk } from "./desk.ts";

/** Why a budget can't be taken over. */
export type BookFault = { budget: string; message: string };

/** What of a budget can't change under its id, as text. */
export type BudgetIdentity = { unit: string; per: string; window: string };

const identityOf = ({ unit, per, window }: Budget): BudgetIdentity => ({
  unit,
  per: canonicalJson(per),
  window: canonicalJson(window),
});

/** Where budgets differ from what was kept of them; nothing was of those that are new. */
const bookFaults = (
  budgets: readonly Budget[],
  kept: (id: string) => BudgetIdentity | undefined,
): BookFault[] =>
  budgets.flatMap((budget) => {
    const wanted = identityOf(budget);
    const before = kept(budget.id) ?? wanted;
    return (["unit", "per", "window"] as const)
      .filter((what) => before[what] !== wanted[what])
      .map((what) => ({
        budget: budget.id,
        message: `the ${what} of \`${budget.id}\` was ${before[what]} and can't change: give the budget another id`,
      }));
  });

/** What a store keeps of budgets. */
export type BookRows = {
  find: (id: string) => BudgetIdentity | undefined;
  insert: (id: string, identity: BudgetIdentity) => void;
};

/** Keeps the identity of budgets that are new; where any differs from what was kept, all that do come back, and nothing is kept. */
export const keepBook = ({ book }: Pick<Desk, "book">, budgets: readonly Budget[]): BookFault[] => {
  const faults = bookFaults(budgets, book.find);
  if (faults.length > 0) return faults;
  for (const budget of budgets) if (!book.find(budget.id)) book.insert(budget.id, identityOf(budget));
  return [];
};
