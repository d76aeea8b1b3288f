/**
 * Accounts and their windows: balances as they are, and moves of consumption, inside the act's transaction. The writer is
 * the only one that changes them, so what it has read it remembers, and every move is made in the file and in memory.
 */
import type { Database, Statement } from "better-sqlite3";
import { accountsOf } from "../../budget/account.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { type Accounts, type Loaded, loadedOf, type Move, type Sum, unopened } from "../acts/accounts.ts";

/** An account as it is remembered. `sums`: what its periods come to, by the start that counting begins at. */
type Known = { row: number; budget: string; account: string; sums: (Sum & { from: Micros })[] };

const rememberedMax = 50_000;
/** Of one account: the window of now, and that of a moment ago. */
const sumsMax = 2;
const latest: Micros = Number.MAX_SAFE_INTEGER;

const nothing: Sum = { used: 0, held: 0 };

type Statements = {
  find: Statement<[string, string], number>;
  insert: Statement<[string, string]>;
  sum: Statement<[number, Micros, Micros], Sum>;
  named: Statement<[number], { budget: string; account: string }>;
};

const statementsOf = (db: Database): Statements => ({
  find: db.prepare<[string, string], number>("select id from account where budget = ? and name = ?").pluck(),
  insert: db.prepare("insert into account (budget, name) values (?, ?)"),
  sum: db.prepare<[number, Micros, Micros], Sum>(
    "select coalesce(sum(used), 0) as used, coalesce(sum(held), 0) as held from period where account = ? and start between ? and ?",
  ),
  named: db.prepare<[number], { budget: string; account: string }>(
    "select budget, name as account from account where id = ?",
  ),
});

/** Moves so many windows at once; gives how many of them it moved: not those that would hold more than is counted exactly. */
const moverOf = (db: Database): ((moves: readonly Move[]) => number) => {
  const statements = new Map<number, Statement<[number[]]>>();
  const max = Number.MAX_SAFE_INTEGER;
  const statementFor = (moves: number): Statement<[number[]]> => {
    const known = statements.get(moves);
    if (known) return known;
    const rows = Array.from({ length: moves }, () => "(?, ?, ?, ?)").join(", ");
    const made = db.prepare<[number[]]>(
      `insert into period (account, start, used, held) values ${rows}
       on conflict do update set used = used + excluded.used, held = held + excluded.held
       where used + excluded.used between -${max} and ${max} and held + excluded.held between -${max} and ${max}`,
    );
    statements.set(moves, made);
    return made;
  };
  return (moves) =>
    statementFor(moves.length).run(moves.flatMap(({ row, start, used, held }) => [row, start, used, held]))
      .changes;
};

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
      const known: Known = { row, budget, account, sums: [] };
      byName.set(`${budget}\n${account}`, known);
      byRow.set(row, known);
      return known;
    },
  };
};

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
  sumFrom: (known: Known, from: Micros) => Sum;
};

/** Accounts by name, and their sums: from memory, else from the file. */
const shelfOf = ({ find, insert, sum }: Statements, memory: ReturnType<typeof createMemory>): Shelf => {
  const knownOf: Shelf["find"] = (budget, account) => {
    const row = memory.named(budget, account) ?? find.get(budget, account);
    return typeof row === "number" ? memory.remember(row, budget, account) : row;
  };
  return {
    find: knownOf,
    open: (budget, account) =>
      knownOf(budget, account) ??
      memory.remember(Number(insert.run(budget, account).lastInsertRowid), budget, account),
    sumFrom: (known, from) => {
      const before = known.sums.find((one) => one.from === from);
      if (before) return before;
      const found = { ...sum.get(known.row, from, latest)!, from };
      known.sums = [found, ...known.sums.slice(0, sumsMax - 1)];
      return found;
    },
  };
};

/** What it remembers was committed or is written in this act: make another after a rollback. */
export const createAccounts = (db: Database): Accounts => {
  const statements = statementsOf(db);
  const { find, sum, named } = statements;
  const movePeriods = moverOf(db);
  const used = db.prepare<[number, Micros], { start: Micros; used: number }>(
    "select start, used from period where account = ? and start >= ? and used > 0 order by start",
  );
  const { granted, grant } = grantsOf(db);
  const memory = createMemory();
  const shelf = shelfOf(statements, memory);
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
      if (!known) return sum.get(row, countedFrom, to ?? latest)!;
      const { used, held } = shelf.sumFrom(known, countedFrom);
      return { used, held };
    },
    used: (row, countedFrom) => used.all(row, countedFrom),
    granted,
    grant,
    move: (moves) => {
      const real = moves.filter(({ used, held }) => used !== 0 || held !== 0);
      if (real.length === 0) return;
      // Beyond it sums are no longer exact, and a sum that overflows would fail whoever asks next.
      if (movePeriods(real) !== real.length)
        throw new Problem("conflict", "the account would hold more than can be counted", {
          field: "amounts",
        });
      for (const move of real) {
        const known = memory.row(move.row);
        if (known) moveSums(known, move);
      }
    },
    name: (row) => memory.row(row) ?? named.get(row)!,
    find: (budget, account) => find.get(budget, account),
    open: (budget, account) => shelf.open(budget, account).row,
  };
};
