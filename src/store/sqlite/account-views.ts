/** Balances and usage as they are asked for: read only, nothing here changes a row. */
import type { Database } from "better-sqlite3";
import type { Budget } from "../../budget/budget.ts";
import type { AccountView, Grant, UsageQuery, UsageSum } from "../../budget/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { accountViewOf, grantOf, type GrantRow, type UsageRow, usageSumOf } from "../acts/account-views.ts";
import type { Accounts } from "../acts/accounts.ts";

export type AccountViews = {
  accounts: (accounts: Accounts, budget: Budget, at: Micros, limit: number, after: string) => AccountView[];
  grants: (budget: string) => Grant[];
  usage: (query: UsageQuery) => UsageSum[];
};

/** Column or expression of each group; a closed list, so nothing of a request is ever SQL. */
const columns: Record<UsageQuery["groupBy"][number], string> = {
  agent: "agent",
  user: "user",
  team: "team",
  org: "org",
  run: "run",
  model: "model",
  tool: "tool",
  day: "strftime('%Y-%m-%d', at / 1000000, 'unixepoch')",
};

const usageOf = (db: Database, { groupBy, from, to, agent, run }: UsageQuery): UsageSum[] => {
  const where: string[] = [];
  const values: unknown[] = [];
  const add = (condition: string, value: unknown): void => {
    if (value === undefined) return;
    where.push(condition);
    values.push(value);
  };
  add("at >= ?", from);
  add("at < ?", to);
  add("agent = ?", agent);
  add("run = ?", run);
  const groups = groupBy.map((name) => `${columns[name]} as "${name}"`);
  const keys = groupBy.map((name) => `"${name}"`);
  const rows = db
    .prepare<unknown[], UsageRow>(
      `select ${[...groups, "unit", "sum(amount) as amount"].join(", ")} from consumption
       ${where.length === 0 ? "" : `where ${where.join(" and ")}`}
       group by ${[...keys, "unit"].join(", ")} order by ${[...keys, "unit"].join(", ")}`,
    )
    .all(...values);
  return rows.map(usageSumOf);
};

export const createAccountViews = (db: Database): AccountViews => {
  const list = db.prepare<[string, string, number], { id: number; name: string }>(
    "select id, name from account where budget = ? and name > ? order by name limit ?",
  );
  const grants = db.prepare<[string], GrantRow>("select * from budget_grant where budget = ? order by at");
  return {
    accounts: (accounts, budget, at, limit, after) =>
      list.all(budget.id, after, limit).map(({ id, name }) => accountViewOf(accounts, budget, name, id, at)),
    grants: (budget) => grants.all(budget).map(grantOf),
    usage: (query) => usageOf(db, query),
  };
};
