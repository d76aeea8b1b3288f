/**
 * Whatever happens in whatever order, over hierarchies of depth four: balances are what entries and open holds say,
 * and no hard limit is exceeded by what asks first.
 */
import type { Database } from "better-sqlite3";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Budget } from "../../budget/budget.ts";
import type { HoldView } from "../../budget/store.ts";
import { Sqlite } from "./driver.ts";
import { createAccountViews } from "./account-views.ts";
import { createAccounts } from "./accounts.ts";
import { createMoves } from "./periods.ts";
import { type Ask, budgetOf, hour, minute } from "../suite/questions.ts";
import { type Counter, openCounter } from "./budgets.test-parts.ts";

const lifetime = { kind: "lifetime" } as const;
const budgets: Budget[] = [
  budgetOf("everything", { limit: 1000, per: [], mode: "soft", window: lifetime, alerts: [50] }),
  budgetOf("org-usd", { limit: 400, per: ["org"] }),
  budgetOf("team-usd", { limit: 300, per: ["team"] }),
  budgetOf("agent-usd", { limit: 150 }),
  budgetOf("agent-rolling", { limit: 180, window: { kind: "rolling", lengthMs: 21_600_000, buckets: 6 } }),
  budgetOf("run-usd", { limit: 100, per: ["run"], window: lifetime }),
  budgetOf("slots", { unit: "concurrent", limit: 4, window: lifetime, onLapse: "release" }),
  budgetOf("calls", { unit: "requests", limit: 12, per: ["team"] }),
];
const hard = budgets.filter(({ mode }) => mode === "hard");

/** Agents below one another, and the run of each, also below one another. */
const chain = ["top", "mid", "low", "leaf"];

type Step =
  | {
      kind: "ask";
      depth: number;
      team: number;
      amount: number;
      key?: number;
      batch: number;
      whole: boolean;
      dry: boolean;
    }
  | { kind: "settle"; hold: number; amount: number; final: boolean; at: "usage" | "amounts" }
  | { kind: "release"; hold: number }
  | { kind: "extend"; hold: number; amount: number }
  | { kind: "usage"; depth: number; amount: number; event: number }
  | { kind: "adjust"; amount: number }
  | { kind: "grant"; amount: number }
  | { kind: "wait"; micros: number }
  | { kind: "reopen" };

const amount = fc.integer({ min: 1, max: 60 });
const which = fc.nat({ max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record(
      {
        kind: fc.constant("ask" as const),
        depth: fc.integer({ min: 1, max: 4 }),
        team: fc.nat({ max: 1 }),
        amount,
        key: fc.nat({ max: 3 }),
        batch: fc.integer({ min: 1, max: 3 }),
        whole: fc.boolean(),
        dry: fc.constantFrom(false, false, false, true),
      },
      { requiredKeys: ["kind", "depth", "team", "amount", "batch", "whole", "dry"] },
    ),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("settle" as const),
      hold: which,
      amount: fc.integer({ min: 0, max: 90 }),
      final: fc.boolean(),
      at: fc.constantFrom("usage" as const, "amounts" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("release" as const), hold: which }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("extend" as const), hold: which, amount: fc.nat({ max: 40 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("usage" as const),
      depth: fc.integer({ min: 1, max: 4 }),
      amount,
      event: fc.nat({ max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("adjust" as const), amount: fc.integer({ min: -40, max: 40 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("grant" as const), amount }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      micros: fc.constantFrom(minute, 15 * minute, hour, 7 * hour, 14 * hour),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
);

const askOf = (depth: number, team: number, usdMicros: number): Ask => ({
  amounts: { usd_micros: usdMicros },
  run: `r${depth}-${team}`,
  ...(depth > 1 ? { parentRun: `r${depth - 1}-${team}` } : {}),
  values: {
    agent: chain.slice(0, depth),
    run: [`r${depth}-${team}`],
    team: [`team-${team}`],
    org: ["example"],
    user: ["ada"],
  },
});

type Totals = Map<string, { total: number; limit: number }>;

const totalsOf = (counter: Counter): Totals =>
  new Map(
    hard.flatMap(({ id }) =>
      counter.ledger
        .accounts(id, counter.now, 999, "")
        .map(({ account, used, held, limit }) => [`${id} ${account}`, { total: used + held, limit }]),
    ),
  );

/** Refusals are outcomes; anything else that is thrown is not. */
const tried = <T>(act: () => T): T | undefined => {
  try {
    return act();
  } catch (error) {
    if (error instanceof Error && /^(conflict|idempotency_mismatch|not_found):/.test(error.message))
      return undefined;
    throw error;
  }
};

/** What has been going on. */
type Story = { holds: string[] };

const settleStep = (
  counter: Counter,
  hold: string,
  { amount, final, at }: Extract<Step, { kind: "settle" }>,
) => {
  const usage = { inputUncached: amount, cachedInput: 0, cacheWrite: 0, output: 1, reasoning: 0 };
  return at === "usage"
    ? counter.settle(hold, { usd_micros: amount }, { final, usage })
    : counter.settle(hold, { usd_micros: amount }, { final });
};

const asking = (counter: Counter, story: Story, step: Extract<Step, { kind: "ask" }>): boolean => {
  const { depth, team, amount, key, batch, whole, dry } = step;
  const ask = { ...askOf(depth, team, amount), dryRun: dry };
  const keyed = key === undefined ? {} : { key: `k${key}`, fingerprint: `${depth} ${team} ${amount}` };
  const asks = Array.from({ length: batch }, (_, n) => (n === 0 ? { ...ask, ...keyed } : ask));
  const verdicts = counter
    .decide(asks, whole ? { allOrNothing: "try" } : {})
    .flatMap((decided) => ("verdict" in decided ? decided.verdict : []));
  for (const { consumption } of verdicts) {
    const hold = consumption?.hold?.id;
    if (hold !== undefined && !story.holds.includes(hold)) story.holds.unshift(hold);
  }
  return !dry && verdicts.some(({ decision }) => decision);
};

/** Does the step. What comes back says whether it was admitted, or may exceed a limit as the record of what was. */
const take = (counter: Counter, story: Story, step: Step): "admits" | "records" | "lowers" => {
  const holdAt = (position: number): string | undefined => story.holds[position];
  const recorded = (view: HoldView | undefined) => (view?.overrun || view?.late ? "records" : "lowers");
  switch (step.kind) {
    case "ask":
      return asking(counter, story, step) ? "admits" : "lowers";
    case "settle": {
      const hold = holdAt(step.hold);
      return hold === undefined ? "lowers" : recorded(tried(() => settleStep(counter, hold, step)));
    }
    case "release": {
      const hold = holdAt(step.hold);
      if (hold !== undefined) tried(() => counter.release(hold));
      return "lowers";
    }
    case "extend": {
      const hold = holdAt(step.hold);
      if (hold === undefined) return "lowers";
      const more = tried(() => counter.extend(hold, step.amount === 0 ? {} : { usd_micros: step.amount }));
      return more ? "admits" : "lowers";
    }
    case "usage":
      tried(() =>
        counter.usage(`e${step.event}`, askOf(step.depth, 0, step.amount), `${step.depth} ${step.amount}`),
      );
      return "records";
    case "adjust":
      tried(() => counter.adjust("team-usd", "team:team-0", step.amount));
      return "records";
    case "grant":
      counter.grant("agent-usd", "agent:leaf", step.amount, counter.now + hour);
      return "lowers";
    case "wait":
      counter.now += step.micros;
      return "lowers";
    case "reopen":
      counter.reopen();
      return "lowers";
  }
};

const checkStep = (counter: Counter, before: Totals, effect: "admits" | "records" | "lowers"): void => {
  if (effect === "records") return;
  for (const [account, { total, limit }] of totalsOf(counter)) {
    const was = before.get(account)?.total ?? 0;
    // What was admitted fits; what was over the limit before stays as it is or sinks.
    if (total > was) expect([account, effect, total <= limit]).toEqual([account, "admits", true]);
  }
};

/** What the writer remembers of balances is what the file holds: read anew, by a connection of its own. */
const checkMemory = (counter: Counter, file: Database): void => {
  const views = createAccountViews(file);
  const fresh = createAccounts(file, createMoves(file));
  for (const budget of budgets)
    expect(counter.ledger.accounts(budget.id, counter.now, 999, "")).toEqual(
      views.accounts(fresh, budget, counter.now, 999, ""),
    );
};

test("whatever happens, balances are conserved, and only records of what has been used exceed a hard limit", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: "max" }), (steps) => {
      const counter = openCounter(budgets);
      const file = new Sqlite(counter.file, { readonly: true });
      try {
        const story: Story = { holds: [] };
        for (const step of steps) {
          if (step.kind === "wait") {
            take(counter, story, step);
            continue;
          }
          const before = totalsOf(counter);
          checkStep(counter, before, take(counter, story, step));
          checkMemory(counter, file);
        }
        counter.now += hour;
        counter.ledger.lapse(counter.now);
        for (const { id } of budgets)
          for (const { held } of counter.ledger.accounts(id, counter.now, 999, "")) expect(held).toBe(0);
        // Every act is on the account of everything: what reports say was used is what it says, to the last unit.
        const reported = counter.ledger.usage({ groupBy: [] }).find(({ unit }) => unit === "usd_micros");
        expect(reported?.amount ?? 0).toBe(counter.account("everything", "all").used);
        expect(counter.warnings).toEqual([]);
      } finally {
        file.close();
        counter.close();
      }
    }),
    { numRuns: 60 },
  );
}, 120_000);
