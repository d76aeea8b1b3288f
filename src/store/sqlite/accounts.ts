/** Accounts and their windows: balances as they are, and moves of consumption, inside the act's transaction. */
import type { Database, Statement } from "better-sqlite3";
import { accountsOf } from "../../budget/account.ts";
import type { Balance, Touch } from "../../budget/budget.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";

/** An account as an act meets it: its balance, its row, and the window that amounts are written to. */
export type Loaded = Balance & { row: number; start: Micros; touch: Touch };

/** A change of one window of an account. */
export type Move = { row: number; start: Micros; used: number; held: number };

/** A move as entries tell it. */
export type NamedMove = { budget: string; account: string; start: Micros; used: number; held: number };

export type Accounts = {
  /** The accounts that touches mean, opened where they are new. `runs`: the run and those above it. */
  load: (touches: readonly Touch[], runs: readonly string[], at: Micros) => Loaded[];
  /** What the periods from one start to another, both included, come to; without the latter, to the latest. */
  balance: (row: number, countedFrom: Micros, to?: Micros) => { used: number; held: number };
  /** What grants add to an account's limit at an instant. */
  granted: (budget: string, account: string, at: Micros) => number;
  /** @throws Problem `conflict` where a balance would be more than can be counted exactly */
  move: (moves: readonly Move[]) => void;
  name: (row: number) => { budget: string; account: string };
  /** The row of an account, if it was ever opened. */
  find: (budget: string, account: string) => number | undefined;
  open: (budget: string, account: string) => number;
};

const rememberedMax = 50_000;
const latest: Micros = Number.MAX_SAFE_INTEGER;

/** The row of an account that was never opened, where none is to be: nothing is on it. */
const unopened = -1;

/** Accounts for who only looks: none is opened. */
export const lookAtAccounts = (db: Database): Accounts => createAccounts(db, false);

type Statements = {
  find: Statement<[string, string], number>;
  insert: Statement<[string, string]>;
  sum: Statement<[number, Micros, Micros], { used: number; held: number }>;
  grants: Statement<[string, string, Micros, Micros], number>;
  upsert: Statement<[number, Micros, number, number], { used: number; held: number }>;
  named: Statement<[number], { budget: string; account: string }>;
};

const statementsOf = (db: Database): Statements => ({
  find: db.prepare<[string, string], number>("select id from account where budget = ? and name = ?").pluck(),
  insert: db.prepare("insert into account (budget, name) values (?, ?)"),
  sum: db.prepare<[number, Micros, Micros], { used: number; held: number }>(
    "select coalesce(sum(used), 0) as used, coalesce(sum(held), 0) as held from period where account = ? and start between ? and ?",
  ),
  grants: db
    .prepare<[string, string, Micros, Micros], number>(
      "select coalesce(sum(amount), 0) from budget_grant where budget = ? and account = ? and from_at <= ? and until_at > ?",
    )
    .pluck(),
  upsert: db.prepare<[number, Micros, number, number], { used: number; held: number }>(
    "insert into period (account, start, used, held) values (?, ?, ?, ?) on conflict do update set used = used + excluded.used, held = held + excluded.held returning used, held",
  ),
  named: db.prepare<[number], { budget: string; account: string }>(
    "select budget, name as account from account where id = ?",
  ),
});

/** `remembered` holds only rows that were committed or are written in this act: make another after a rollback. */
export const createAccounts = (db: Database, opens = true): Accounts => {
  const { find, insert, sum, grants, upsert, named } = statementsOf(db);
  const remembered = new Map<string, number>();
  const names = new Map<number, { budget: string; account: string }>();
  const rowOf = (budget: string, account: string): number => {
    const key = `${budget}\n${account}`;
    const known = remembered.get(key) ?? find.get(budget, account);
    if (known === undefined && !opens) return unopened;
    const row = known ?? Number(insert.run(budget, account).lastInsertRowid);
    if (remembered.size >= rememberedMax) {
      remembered.clear();
      names.clear();
    }
    remembered.set(key, row);
    names.set(row, { budget, account });
    return row;
  };
  return {
    load: (touches, runs, at) =>
      touches.flatMap((touch) =>
        accountsOf(touch, runs).map((account): Loaded => {
          const row = rowOf(touch.budget, account);
          const { used, held } = sum.get(row, touch.countedFrom, latest)!;
          const granted = grants.get(touch.budget, account, at, at)!;
          return {
            budget: touch.budget,
            account,
            unit: touch.unit,
            mode: touch.mode,
            limit: touch.limit + granted,
            used,
            held,
            ...(touch.resetsAt === undefined ? {} : { resetsAt: touch.resetsAt }),
            amount: touch.amount,
            as: touch.as,
            row,
            start: touch.start,
            touch,
          };
        }),
      ),
    balance: (row, countedFrom, to = latest) => sum.get(row, countedFrom, to)!,
    granted: (budget, account, at) => grants.get(budget, account, at, at)!,
    move: (moves) => {
      for (const { row, start, used, held } of moves) {
        if (used === 0 && held === 0) continue;
        const now = upsert.get(row, start, used, held)!;
        // Beyond it sums are no longer exact, and a sum that overflows would fail whoever asks next.
        if (!Number.isSafeInteger(now.used) || !Number.isSafeInteger(now.held))
          throw new Problem("conflict", "the account would hold more than can be counted", {
            field: "amounts",
          });
      }
    },
    name: (row) => names.get(row) ?? named.get(row)!,
    find: (budget, account) => find.get(budget, account),
    open: rowOf,
  };
};
