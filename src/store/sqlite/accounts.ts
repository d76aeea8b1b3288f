/**
 * Accounts and their windows: balances as they are, and moves of consumption, inside the act's transaction. The writer is
 * the only one that changes them, so what it has read it remembers; every move is made in memory at once, and in the file
 * when the commit ends.
 */
import type { Database, Statement } from "better-sqlite3";
import { accountsOf } from "../../budget/account.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { type Accounts, type Loaded, loadedOf, type Move, type Sum, unopened } from "../acts/accounts.ts";
import type { Deferred } from "./deferred.ts";

/** A period of an account. */
type Period = Sum & { start: Micros };

/** An account as it is remembered. `sums`: what its periods come to, by the start that counting begins at. */
type Known = {
  row: number;
  budget: string;
  account: string;
  sums: (Sum & { from: Micros })[];
  periods: Period[];
};

const rememberedMax = 50_000;
/** Of one account: the window of now, and that of a moment ago. */
const sumsMax = 2;
const periodsMax = 2;
const latest: Micros = Number.MAX_SAFE_INTEGER;

const nothing: Sum = { used: 0, held: 0 };

type Statements = {
  find: Statement<[string, string], number>;
  insert: Statement<[string, string]>;
  sum: Statement<[number, Micros, Micros], Sum>;
  period: Statement<[number, Micros], Sum>;
  named: Statement<[number], { budget: string; account: string }>;
};

const statementsOf = (db: Database): Statements => ({
  find: db.prepare<[string, string], number>("select id from account where budget = ? and name = ?").pluck(),
  insert: db.prepare("insert into account (budget, name) values (?, ?)"),
  sum: db.prepare<[number, Micros, Micros], Sum>(
    "select coalesce(sum(used), 0) as used, coalesce(sum(held), 0) as held from period where account = ? and start between ? and ?",
  ),
  period: db.prepare<[number, Micros], Sum>("select used, held from period where account = ? and start = ?"),
  named: db.prepare<[number], { budget: string; account: string }>(
    "select budget, name as account from account where id = ?",
  ),
});

/** Most stores hold no grants, and of those that do most budgets have none. */
const grantsOf = (db: Database): Pick<Accounts, "granted" | "grant"> => {
  const sum = db
    .prepare<[string, string, Micros, Micros], number>(
      "select coalesce(sum(amount), 0) from budget_grant where budget = ? and account = ? and from_at <= ? and until_at > ?",
    )
    .pluck();
  const insert = db.prepare(
    `insert into budget_grant (id, budget, account, amount, from_at, until_at, granted_by, reason, at)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const budgets = new Set(db.prepare<[], string>("select distinct budget from budget_grant").pluck().all());
  return {
    granted: (budget, account, at) => (budgets.has(budget) ? sum.get(budget, account, at, at)! : 0),
    grant: ({ id, budget, account, amount, from, until, by, reason, at }) => {
      insert.run(id, budget, account, amount, from, until, by, reason, at);
      budgets.add(budget);
    },
  };
};

/** What is remembered of accounts. */
const createMemory = () => {
  const byName = new Map<string, Known>();
  const byRow = new Map<number, Known>();
  return {
    named: (budget: string, account: string): Known | undefined => byName.get(`${budget}\n${account}`),
    row: (row: number): Known | undefined => byRow.get(row),
    remember: (row: number, budget: string, account: string): Known => {
      if (byRow.size >= rememberedMax) {
        byName.clear();
        byRow.clear();
      }
      const known: Known = { row, budget, account, sums: [], periods: [] };
      byName.set(`${budget}\n${account}`, known);
      byRow.set(row, known);
      return known;
    },
  };
};

const isCounted = (value: number): boolean => Math.abs(value) <= Number.MAX_SAFE_INTEGER;

/** Makes a move in the sums that count it. */
const moveSums = (known: Known, { start, used, held }: Move): void => {
  for (const sum of known.sums) {
    if (start < sum.from) continue;
    sum.used += used;
    sum.held += held;
  }
  // The file still sums exactly where a number no longer does.
  known.sums = known.sums.filter((sum) => Number.isSafeInteger(sum.used) && Number.isSafeInteger(sum.held));
};

type Shelf = {
  /** The account, if it was ever opened. */
  find: (budget: string, account: string) => Known | undefined;
  open: (budget: string, account: string) => Known;
  /** The account of a row. */
  of: (row: number) => Known;
  sumFrom: (known: Known, from: Micros) => Sum;
  periodAt: (known: Known, start: Micros) => Period;
};

/** Accounts by name, and their sums: from memory, else from the file. */
const shelfOf = (
  { find, insert, sum, period, named }: Statements,
  memory: ReturnType<typeof createMemory>,
  deferred: Deferred<Move>,
): Shelf => {
  const knownOf: Shelf["find"] = (budget, account) => {
    const row = memory.named(budget, account) ?? find.get(budget, account);
    return typeof row === "number" ? memory.remember(row, budget, account) : row;
  };
  return {
    find: knownOf,
    open: (budget, account) =>
      knownOf(budget, account) ??
      memory.remember(Number(insert.run(budget, account).lastInsertRowid), budget, account),
    of: (row) => {
      const known = memory.row(row);
      if (known) return known;
      const { budget, account } = named.get(row)!;
      return memory.remember(row, budget, account);
    },
    periodAt: (known, start) => {
      const before = known.periods.find((one) => one.start === start);
      if (before) return before;
      deferred.write();
      const found = { ...(period.get(known.row, start) ?? nothing), start };
      known.periods = [found, ...known.periods.slice(0, periodsMax - 1)];
      return found;
    },
    sumFrom: (known, from) => {
      const before = known.sums.find((one) => one.from === from);
      if (before) return before;
      deferred.write();
      const found = { ...sum.get(known.row, from, latest)!, from };
      known.sums = [found, ...known.sums.slice(0, sumsMax - 1)];
      return found;
    },
  };
};

/** What it remembers was committed or is written in this act: make another after a rollback. */
export const createAccounts = (db: Database, deferred: Deferred<Move>): Accounts => {
  const statements = statementsOf(db);
  const { find, sum } = statements;
  const used = db.prepare<[number, Micros], { start: Micros; used: number }>(
    "select start, used from period where account = ? and start >= ? and used > 0 order by start",
  );
  const { granted, grant } = grantsOf(db);
  const memory = createMemory();
  const shelf = shelfOf(statements, memory, deferred);
  const load =
    (knownFor: Shelf["find"]): Accounts["load"] =>
    (touches, runs, at) =>
      touches.flatMap((touch) =>
        accountsOf(touch, runs).map((account): Loaded => {
          const known = knownFor(touch.budget, account);
          const before = known ? shelf.sumFrom(known, touch.countedFrom) : nothing;
          const more = granted(touch.budget, account, at);
          return loadedOf(touch, account, known?.row ?? unopened, more, before);
        }),
      );
  return {
    load: load(shelf.open),
    look: load(shelf.find),
    balance: (row, countedFrom, to) => {
      const known = to === undefined ? memory.row(row) : undefined;
      if (!known) {
        deferred.write();
        return sum.get(row, countedFrom, to ?? latest)!;
      }
      const { used, held } = shelf.sumFrom(known, countedFrom);
      return { used, held };
    },
    used: (row, countedFrom) => {
      deferred.write();
      return used.all(row, countedFrom);
    },
    granted,
    grant,
    move: (moves) => {
      for (const move of moves) {
        if (move.used === 0 && move.held === 0) continue;
        const known = shelf.of(move.row);
        const period = shelf.periodAt(known, move.start);
        // Beyond it sums are no longer exact, and a sum that overflows would fail whoever asks next.
        if (!isCounted(period.used + move.used) || !isCounted(period.held + move.held))
          throw new Problem("conflict", "the account would hold more than can be counted", {
            field: "amounts",
          });
        period.used += move.used;
        period.held += move.held;
        moveSums(known, move);
        deferred.add(move);
      }
    },
    name: (row) => shelf.of(row),
    find: (budget, account) => find.get(budget, account),
    open: (budget, account) => shelf.open(budget, account).row,
  };
};
