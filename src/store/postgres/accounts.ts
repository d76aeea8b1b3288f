/** Accounts and their windows on the working set. */
import { accountsOf } from "../../budget/account.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { type Accounts, type Loaded, loadedOf, type Sum, unopened } from "../acts/accounts.ts";
import type { WorkingSet } from "./working-set.ts";

type AccountRow = { id: number; budget: string; name: string };
type PeriodRow = { account: number; start: number; used: number; held: number };
type GrantRow = { budget: string; account: string; amount: number; from_at: number; until_at: number };

const latest: Micros = Number.MAX_SAFE_INTEGER;

/** Grants: what they add to limits. */
const grantsOf = (set: WorkingSet): Pick<Accounts, "granted" | "grant"> => {
  const granted: Accounts["granted"] = (budget, account, at) =>
    set
      .rows<GrantRow>("budget_grant", "grants", [budget, account], (row) => {
        return row.budget === budget && row.account === account;
      })
      .filter(({ from_at, until_at }) => from_at <= at && until_at > at)
      .reduce((sum, { amount }) => sum + amount, 0);
  return {
    granted,
    grant: ({ id, budget, account, amount, from, until, by, reason, at }) =>
      set.put("budget_grant", {
        id,
        budget,
        account,
        amount,
        from_at: from,
        until_at: until,
        granted_by: by,
        reason,
        at,
      }),
  };
};

type Periods = (row: number, from: Micros) => PeriodRow[];

const mover =
  (set: WorkingSet, periods: Periods): Accounts["move"] =>
  (moves) => {
    for (const { row, start, used, held } of moves) {
      if (used === 0 && held === 0) continue;
      const before = periods(row, start).find((each) => each.start === start) ?? { used: 0, held: 0 };
      const now = { account: row, start, used: before.used + used, held: before.held + held };
      // Beyond it sums are no longer exact.
      if (!Number.isSafeInteger(now.used) || !Number.isSafeInteger(now.held))
        throw new Problem("conflict", "the account would hold more than can be counted", {
          field: "amounts",
        });
      set.put("period", now);
    }
  };

export const createAccounts = (set: WorkingSet): Accounts => {
  // Whoever found an account asks for it by its number afterwards. Only what the database has: a row that was put may be taken
  // back, and its number given to another account.
  const kept = new Map<number, AccountRow>();
  const find = (budget: string, name: string): number | undefined => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- rows are as their table is declared
    for (const row of set.ask("account", budget, name) as readonly AccountRow[]) kept.set(row.id, row);
    return set.one<AccountRow>("account", "account", [budget, name], (each) => {
      return each.budget === budget && each.name === name;
    })?.id;
  };
  const open = (budget: string, name: string): number => {
    const known = find(budget, name);
    if (known !== undefined) return known;
    const [state] = set.ask("state");
    // Whoever writes has the lock on the order of entries: nobody else gives numbers meanwhile.
    const id = Number(state?.["account"] ?? 1) + set.changedIn("account").length;
    set.put("account", { id, budget, name });
    return id;
  };
  const name: Accounts["name"] = (row) => {
    const known =
      kept.get(row) ?? set.one<AccountRow>("account", "accountOfId", [row], ({ id }) => id === row);
    return { budget: known?.budget ?? "", account: known?.name ?? "" };
  };
  const periods = (row: number, from: Micros): PeriodRow[] => {
    const { budget, account } = name(row);
    return set.rows<PeriodRow>("period", "periods", [budget, account, from], (each) => {
      return each.account === row && each.start >= from;
    });
  };
  const balance = (row: number, from: Micros, to: Micros = latest): Sum => {
    const sum = { used: 0, held: 0 };
    for (const { start, used, held } of periods(row, from)) {
      if (start > to) continue;
      sum.used += used;
      sum.held += held;
    }
    return sum;
  };
  const { granted, grant } = grantsOf(set);
  const load =
    (rowFor: (budget: string, account: string) => number | undefined): Accounts["load"] =>
    (touches, runs, at) =>
      touches.flatMap((touch) =>
        accountsOf(touch, runs).map((account): Loaded => {
          const row = rowFor(touch.budget, account) ?? unopened;
          const sum = row === unopened ? { used: 0, held: 0 } : balance(row, touch.countedFrom);
          return loadedOf(touch, account, row, granted(touch.budget, account, at), sum);
        }),
      );
  return {
    load: load(open),
    look: load(find),
    find,
    open,
    name,
    balance,
    granted,
    used: (row, from) =>
      periods(row, from)
        .filter(({ used }) => used > 0)
        .sort((a, b) => a.start - b.start)
        .map(({ start, used }) => ({ start, used })),
    grant,
    move: mover(set, periods),
  };
};
