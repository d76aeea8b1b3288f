/** Balances and usage as they are asked for: read only, nothing here changes a row. */
import type pg from "pg";
import type { Budget } from "../../budget/budget.ts";
import type { AccountView, Grant, UsageQuery, UsageSum } from "../../budget/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { accountViewOf, grantOf, type GrantRow, type UsageRow, usageSumOf } from "../acts/account-views.ts";
import type { Commits } from "./commit.ts";
import { readRows } from "./rows.ts";

/** What is read of accounts. */
export type AccountViews = {
  accounts: (budget: Budget, at: Micros, limit: number, after: string) => Promise<AccountView[]>;
  grants: (budget: string) => Promise<Grant[]>;
  usage: (query: UsageQuery) => Promise<UsageSum[]>;
};

/** Column or expression of each group; a closed list, so nothing of a request is ever SQL. */
const columns: Record<UsageQuery["groupBy"][number], string> = {
  agent: "agent",
  user: "person",
  team: "team",
  org: "org",
  run: "run",
  model: "model",
  tool: "tool",
  day: "to_char(to_timestamp(at / 1000000) at time zone 'UTC', 'YYYY-MM-DD')",
};

const usageOf = async (pool: pg.Pool, { groupBy, from, to, agent, run }: UsageQuery): Promise<UsageSum[]> => {
  const where: string[] = [];
  const values: unknown[] = [];
  const add = (condition: string, value: unknown): void => {
    if (value !== undefined) where.push(`${condition} $${values.push(value)}`);
  };
  add("at >=", from);
  add("at <", to);
  add("agent =", agent);
  add("run =", run);
  const groups = groupBy.map((name) => `${columns[name]} as "${name}"`);
  // As in SQLite: in the order of bytes, and what has no value first.
  const order = [...groupBy.map((name) => `${columns[name]} collate "C" nulls first`), "unit"];
  const rows = await readRows<UsageRow>(
    pool,
    `select ${[...groups, "unit", "sum(amount) as amount"].join(", ")} from consumption
     ${where.length === 0 ? "" : `where ${where.join(" and ")}`}
     group by ${[...groupBy.map((name) => columns[name]), "unit"].join(", ")} order by ${order.join(", ")}`,
    values,
  );
  return rows.map(usageSumOf);
};

export const createAccountViews = (pool: pg.Pool, { look }: Pick<Commits, "look">): AccountViews => ({
  accounts: async (budget, at, limit, after) => {
    const rows = await readRows<{ id: number; name: string }>(
      pool,
      `select id, name from account where budget = $1 and name > $2 collate "C"
       order by name collate "C" limit $3`,
      [budget.id, after, limit],
    );
    return look((desk) => rows.map(({ id, name }) => accountViewOf(desk.accounts, budget, name, id, at)));
  },
  grants: async (budget) => {
    const rows = await readRows<GrantRow>(pool, "select * from budget_grant where budget = $1 order by at", [
      budget,
    ]);
    return rows.map(grantOf);
  },
  usage: (query) => usageOf(pool, query),
});
