/** Balances as they are asked for. */
import { type Budget, remainingOf } from "../../budget/budget.ts";
import type { AccountView } from "../../budget/store.ts";
import { countedFrom, periodAt, resetsAt } from "../../budget/window.ts";
import type { Micros } from "../../kit/clock.ts";
import type { Accounts } from "./accounts.ts";

/** An account as it stands. */
export const accountViewOf = (
  accounts: Pick<Accounts, "balance" | "granted">,
  budget: Budget,
  account: string,
  row: number,
  at: Micros,
): AccountView => {
  const balance = accounts.balance(row, countedFrom(budget.window, at));
  const granted = accounts.granted(budget.id, account, at);
  const limit = budget.limit + granted;
  const used = Math.max(0, balance.used);
  const resets = resetsAt(budget.window, at);
  return {
    budget: budget.id,
    account,
    unit: budget.unit,
    mode: budget.mode,
    limit,
    granted,
    used,
    held: balance.held,
    remaining: remainingOf({ limit, used, held: balance.held }),
    windowStart: periodAt(budget.window, at).start,
    ...(resets === undefined ? {} : { resetsAt: resets }),
  };
};
