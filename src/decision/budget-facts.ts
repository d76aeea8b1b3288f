/** What policies see of the budgets: `context.remit.budgets`, filled in inside the act, where the balances are known. */
import type { CedarAsk } from "../kit/cedar-json.ts";
import { isObject, type JsonObject } from "../kit/json.ts";
import { type Balance, remainingOf } from "../budget/budget.ts";

/** How much of the limit is spoken for, rounded up; 100 where nothing was ever allowed. */
const percentOf = ({ limit, used, held }: Balance): number => {
  if (limit === 0) return 100;
  const taken = BigInt(Math.max(0, used)) + BigInt(held);
  const percent = (taken * 100n + BigInt(limit) - 1n) / BigInt(limit);
  return Math.min(Number(percent), Number.MAX_SAFE_INTEGER);
};

const factOf = (balance: Balance): JsonObject => ({
  limit: balance.limit,
  used: Math.max(0, balance.used),
  held: balance.held,
  remaining: remainingOf(balance),
  percent: percentOf(balance),
  ...(balance.resetsAt === undefined
    ? {}
    : {
        resets_at: {
          __extn: { fn: "datetime", arg: new Date(Math.floor(balance.resetsAt / 1000)).toISOString() },
        },
      }),
});

/** The tightest account of each budget: the one of which most is spoken for, of equals the one with less left. */
const tightest = (balances: readonly Balance[]): Map<string, Balance> => {
  const found = new Map<string, Balance>();
  for (const balance of balances) {
    const other = found.get(balance.budget);
    const tighter =
      !other ||
      percentOf(balance) > percentOf(other) ||
      (percentOf(balance) === percentOf(other) && remainingOf(balance) < remainingOf(other));
    if (tighter) found.set(balance.budget, balance);
  }
  return found;
};

/** The question for Cedar with the balances of this moment in it, as far as a policy may look at them (`seen`). */
export const budgetFacts = (
  ask: CedarAsk,
  balances: readonly Balance[],
  seen: readonly string[] = [],
): CedarAsk => {
  const remit = ask.context["remit"];
  const shown = seen.length === 0 ? [] : balances.filter(({ budget }) => seen.includes(budget));
  if (shown.length === 0 || !isObject(remit)) return ask;
  const budgets = Object.fromEntries([...tightest(shown)].map(([id, balance]) => [id, factOf(balance)]));
  return { ...ask, context: { ...ask.context, remit: { ...remit, budgets } } };
};
