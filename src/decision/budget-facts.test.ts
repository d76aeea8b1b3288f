/** What Cedar is told of the balances. */
import { expect, test } from "vitest";
import type { Balance } from "../budget/budget.ts";
import type { CedarAsk } from "../kit/cedar-json.ts";
import { budgetFacts } from "./budget-facts.ts";

const uid = { type: "T", id: "t" };
const ask: CedarAsk = {
  principals: [uid],
  action: uid,
  resource: uid,
  context: { remit: { caller: "pep", budgets: {} } },
  entities: [],
};

const balance = (budget: string, account: string, used: number): Balance => ({
  budget,
  account,
  unit: "tokens",
  mode: "hard",
  limit: 100,
  used,
  held: 0,
  amount: 1,
  as: "hold",
});

const seen = (balances: readonly Balance[], names?: readonly string[]): unknown =>
  Object.entries(
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the question above has it
    (budgetFacts(ask, balances, names).context["remit"] as { budgets: Record<string, { used: number }> })
      .budgets,
  ).map(([id, { used }]) => [id, used]);

test("a policy sees the tightest account of each budget that it may look at, and of no other", () => {
  const balances = [balance("a", "one", 10), balance("a", "two", 30), balance("b", "one", 50)];
  expect(seen(balances, ["a"])).toEqual([["a", 30]]);
  expect(seen(balances, ["a", "b"])).toEqual([
    ["a", 30],
    ["b", 50],
  ]);
  expect(seen(balances)).toEqual([]);
});

test("where a policy may look at no budget the question stays as it is", () => {
  expect(budgetFacts(ask, [balance("a", "one", 10)])).toBe(ask);
});
