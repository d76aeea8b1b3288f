/** Balances as they are asked for. */
import { type Budget, remainingOf } from "../../budget/budget.ts";
import type { AccountView, Grant, UsageSum } from "../../budget/store.ts";
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

/** A grant as a store gives it. */
export type GrantRow = {
  id: string;
  budget: string;
  account: string;
  amount: number;
  from_at: number;
  until_at: number;
  granted_by: string;
  reason: string;
  at: number;
};

/** A grant as it is listed. */
export const grantOf = ({ from_at, until_at, granted_by, ...row }: GrantRow): Grant => ({
  ...row,
  from: from_at,
  until: until_at,
  by: granted_by,
});

/** What was used, by whose it is, as a store gives it: columns of the groups, a unit and an amount. */
export type UsageRow = Record<string, string | number | null>;

/** The same as it is told. */
export const usageSumOf = ({ unit, amount, ...group }: UsageRow): UsageSum => ({
  group: Object.fromEntries(
    Object.entries(group).map(([name, value]) => [name, value === null ? null : String(value)]),
  ),
  unit: String(unit),
  amount: Number(amount),
});
