/** What the ledger tells of itself for metrics: small reads, and a walk over all accounts in steps that hold nobody up. */
import { setImmediate } from "node:timers/promises";
import type { Budget } from "../../budget/budget.ts";
import type { AccountView } from "../../budget/store.ts";
import type { Micros } from "../../kit/clock.ts";

/** What is left of one budget, at its tightest account: names of accounts are persons' and agents', and without bound. */
export type BudgetFigures = {
  budget: string;
  unit: string;
  accounts: number;
  /** Accounts on which nothing is left. */
  exhausted: number;
  limit: number;
  remaining: number;
};

export type LedgerFigures = {
  entries: number;
  /** Entries that the newest checkpoint covers, and when it was signed. */
  signed: number;
  signedAt: Micros;
  fileBytes: number;
  holdsOpen: number;
  outbox: { sink: string; pending: number; dead: number; oldestAt?: Micros }[];
  /** As the last whole walk over the accounts found them. */
  budgets: BudgetFigures[];
};

/** What needs no walk. */
export type SmallFigures = Omit<LedgerFigures, "budgets">;

export type AccountsOf = (
  budget: Budget,
  at: Micros,
  limit: number,
  after: string,
) => AccountView[] | Promise<AccountView[]>;

/** Accounts looked at in one step: about a millisecond's worth. */
const stepAccounts = 100;

const untouched = ({ id, unit, limit }: Budget): BudgetFigures => ({
  budget: id,
  unit,
  accounts: 0,
  exhausted: 0,
  limit,
  remaining: limit,
});

const share = ({ limit, remaining }: { limit: number; remaining: number }): number =>
  limit <= 0 ? 0 : remaining / limit;

const withAccount = (figures: BudgetFigures, { limit, remaining }: AccountView): BudgetFigures => ({
  ...figures,
  accounts: figures.accounts + 1,
  exhausted: figures.exhausted + (remaining <= 0 ? 1 : 0),
  ...(share({ limit, remaining }) < share(figures) ? { limit, remaining } : {}),
});

type Walk = {
  /** One step; whether there is more to walk. */
  step: (at: Micros) => Promise<boolean>;
  found: () => BudgetFigures[];
};

/** Walks over the accounts of all budgets, over and over; what is shown is the last walk that came to its end. */
const createWalk = (book: () => ReadonlyMap<string, Budget>, accountsOf: AccountsOf): Walk => {
  let whole: BudgetFigures[] = [];
  let left: Budget[] = [];
  let found: BudgetFigures[] = [];
  let current: { budget: Budget; figures: BudgetFigures; after: string } | undefined;
  const next = (): typeof current => {
    const budget = left.shift();
    return budget && { budget, figures: untouched(budget), after: "" };
  };
  const finish = (): false => {
    whole = found;
    found = [];
    return false;
  };
  return {
    step: async (at) => {
      if (!current) {
        left = [...book().values()];
        found = [];
        current = next();
        if (!current) return finish();
      }
      const page = await accountsOf(current.budget, at, stepAccounts, current.after);
      for (const view of page) current.figures = withAccount(current.figures, view);
      if (page.length === stepAccounts) {
        current.after = page.at(-1)!.account;
        return true;
      }
      found.push(current.figures);
      current = next();
      return current ? true : finish();
    },
    found: () => whole,
  };
};

/** Longest that figures wait for the walk; what isn't finished then goes on when they are asked for again. */
const walkMs = 500;

/** Reads the figures of an open ledger. */
export const createFigures = (
  small: () => SmallFigures | Promise<SmallFigures>,
  book: () => ReadonlyMap<string, Budget>,
  accountsOf: AccountsOf,
): ((at: Micros) => Promise<LedgerFigures>) => {
  const walk = createWalk(book, accountsOf);
  return async (at) => {
    const until = performance.now() + walkMs;
    // Whoever waits for a decision goes first, between any two steps.
    while ((await walk.step(at)) && performance.now() < until) await setImmediate();
    return { ...(await small()), budgets: walk.found() };
  };
};
