/**
 * Budgets on a real ledger file: hierarchies, batches, replays, what becomes of holds, modes, grants, runs and runaway
 * protection. After every test all balances are recomputed from the entries.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { Budget, Runaway } from "../../budget/budget.ts";
import type { Price, PriceCatalogue } from "../../budget/prices.ts";
import type { RunawayRules } from "../../budget/runaway.ts";
import { type Ask, budgetOf, day, hour, minute, second } from "../suite/questions.ts";
import { type Counter, openCounter } from "./budgets.test-parts.ts";

const opened: Counter[] = [];
const counterOf = (...budgets: Budget[]): Counter => {
  const counter = openCounter(budgets);
  opened.push(counter);
  return counter;
};

afterEach(() => {
  for (const counter of opened.splice(0)) counter.close();
});

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });
const leaf = "agent:leaf";
const types = ({ alerts }: Counter): string[] => alerts.map(({ type }) => type);
const lifetime = { kind: "lifetime" } as const;

const chain = ["top", "mid", "low", "leaf"];
const hierarchy: Budget[] = [
  budgetOf("org-usd", { limit: 10_000, per: ["org"] }),
  budgetOf("team-usd", { limit: 5000, per: ["team"] }),
  budgetOf("user-usd", { limit: 2000, per: ["user"] }),
  budgetOf("agent-usd", { limit: 1000 }),
  budgetOf("run-usd", { limit: 500, per: ["run"], window: lifetime }),
];
const everyone = { agent: chain, user: ["ada"], team: ["web"], org: ["example"] };
const inRun = (run: string, amount: number, more: Ask = {}): Ask => ({
  ...usd(amount),
  run,
  ...more,
  values: { run: [run], ...everyone, ...more.values },
});
/** Four runs, each begun by the one above it. */
const nested = (counter: Counter): void => {
  counter.ask(inRun("r1", 1));
  for (const [parentRun, run] of [
    ["r1", "r2"],
    ["r2", "r3"],
    ["r3", "r4"],
  ] as const)
    counter.ask(inRun(run, 1, { parentRun }));
};
const every = (counter: Counter): Record<string, [used: number, held: number]> =>
  Object.fromEntries(
    counter.budgets.flatMap(({ id }) =>
      counter.ledger
        .accounts(id, counter.now, 999, "")
        .map(({ account, used, held }) => [`${id} ${account}`, [used, held]]),
    ),
  );

describe("a chain of depth four", () => {
  test("a permit debits every account of the chain: agents, parents, runs above, user, team and organisation", () => {
    const counter = counterOf(...hierarchy);
    nested(counter);
    const { hold } = counter.ask(inRun("r4", 100));
    expect(every(counter)).toEqual({
      "org-usd org:example": [0, 104],
      "team-usd team:web": [0, 104],
      "user-usd user:ada": [0, 104],
      ...Object.fromEntries(chain.map((agent) => [`agent-usd agent:${agent}`, [0, 104]])),
      "run-usd run:r1": [0, 104],
      "run-usd run:r2": [0, 103],
      "run-usd run:r3": [0, 102],
      "run-usd run:r4": [0, 101],
    });
    counter.settle(hold, { usd_micros: 60 });
    expect(every(counter)).toMatchObject({
      "org-usd org:example": [60, 4],
      "agent-usd agent:top": [60, 4],
      "run-usd run:r1": [60, 4],
      "run-usd run:r4": [60, 1],
    });
  });

  test.each([
    ["the first ancestor", { agent: ["top"] }, "agent-usd"],
    ["the organisation", { agent: ["other"], org: ["example"] }, "org-usd"],
    ["the team", { agent: ["other"], team: ["web"] }, "team-usd"],
  ])("where %s has nothing left, nobody of the chain is debited", (_name, values, budget) => {
    const counter = counterOf(...hierarchy);
    const limit = counter.budgets.find(({ id }) => id === budget)!.limit;
    counter.usage("spent elsewhere", { ...usd(limit), values });
    const before = every(counter);
    const denied = counter.ask(inRun("r1", 1));
    expect(denied.reason).toBe("budget_exhausted");
    expect(denied.verdict.consumption!.budgets.map(({ budget }) => budget)).toEqual([budget]);
    expect(every(counter)).toMatchObject(before);
    expect(Object.values(every(counter)).reduce((sum, [used, held]) => sum + used + held, 0)).toBe(
      Object.values(before).reduce((sum, [used, held]) => sum + used + held, 0),
    );
  });

  test("a run can't escape the limits of the run that began it", () => {
    const counter = counterOf(budgetOf("run-usd", { per: ["run"], window: lifetime }));
    counter.ask(inRun("r1", 60));
    expect(counter.ask(inRun("r2", 41, { parentRun: "r1" })).reason).toBe("budget_held");
    expect(counter.ask(inRun("r2", 40, { parentRun: "r1" })).decision).toBe(true);
    expect(counter.ask(inRun("r2", 1)).reason).toBe("budget_held");
  });
});

describe("batches and dry runs", () => {
  test("a batch is admitted item after item, each on what those before it left", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const decisions = counter.batch([usd(60), usd(50), usd(40), usd(1)]).map(({ decision }) => decision);
    expect(decisions).toEqual([true, false, true, false]);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 100 });
  });

  test("what follows the first denial is neither asked nor debited where the batch stops there", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    expect(counter.batch([usd(60), usd(50), usd(10)], { until: "deny" })).toHaveLength(2);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 60 });
  });

  test("all or nothing: one that doesn't fit denies all, and nothing is held", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("calls", { unit: "requests", limit: 10 }));
    const answers = counter.batch([usd(60), usd(50), usd(10)], { allOrNothing: "try" });
    expect(answers.map(({ reason }) => reason)).toEqual(["all_or_nothing", "budget_held", "all_or_nothing"]);
    expect(every(counter)).toEqual({});
    expect(counter.batch([usd(60), usd(40)], { allOrNothing: "try" }).every(({ decision }) => decision)).toBe(
      true,
    );
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 100 });
    expect(counter.ledger.entries({ limit: 99, order: "asc" }).entries).toHaveLength(5);
  });

  test("all or nothing with an item that could not be asked denies all that could", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const answers = counter.batch([usd(1), usd(1)], { allOrNothing: "spoilt" });
    expect(answers.map(({ decision }) => decision)).toEqual([false, false]);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 0 });
  });

  test("a key of a batch that held nothing is free again", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.batch([{ ...usd(60), key: "k" }, usd(50)], { allOrNothing: "try" });
    expect(counter.ask({ ...usd(60), key: "k" }).decision).toBe(true);
  });

  test("a dry run tells what would be, and consumes nothing: no balance, no hold, no key, no run, no alert", () => {
    const counter = counterOf(
      budgetOf("agent-usd", { alerts: [1] }),
      budgetOf("calls", { unit: "requests", limit: 1, alerts: [1] }),
    );
    const dry = { ...usd(100), dryRun: true, key: "k", run: "r" };
    const answer = counter.ask(dry);
    expect(answer.decision).toBe(true);
    expect(answer.hold).toBe("");
    expect(answer.verdict.consumption!.budgets).toMatchObject([{ held: 100 }, { used: 1 }]);
    expect(counter.ask({ ...dry, amounts: { usd_micros: 101 } }).reason).toBe("amount_too_large");
    for (const id of ["agent-usd", "calls"])
      expect(counter.account(id, leaf)).toMatchObject({ used: 0, held: 0 });
    expect(types(counter)).toEqual([]);
    expect(
      counter.ask({ ...usd(1), key: "k", fingerprint: "other", run: "r", caller: "someone else" }).decision,
    ).toBe(true);
  });
});

describe("the same question again", () => {
  test("under its key it is permitted while its hold is open, and never afterwards", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const keyed = { ...usd(10), key: "k" };
    const first = counter.ask(keyed);
    expect(counter.ask(keyed)).toMatchObject({ decision: true, hold: first.hold });
    counter.settle(first.hold, { usd_micros: 10 });
    expect(counter.ask(keyed)).toMatchObject({ decision: false, reason: "already_finished" });
    const lapsing = counter.ask({ ...keyed, key: "l" });
    counter.now += 15 * minute;
    expect(counter.ask({ ...keyed, key: "l" })).toMatchObject({
      decision: false,
      reason: "already_finished",
    });
    expect(lapsing.decision).toBe(true);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 20, held: 0 });
  });

  test("under its key another question is a mismatch, and nothing is recorded", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.ask({ ...usd(10), key: "k" });
    const [other] = counter.decide([{ ...usd(20), key: "k", fingerprint: "other" }]);
    expect(other).toMatchObject({ problem: { code: "idempotency_mismatch" } });
    expect(counter.ledger.entries({ limit: 9, order: "asc" }).entries).toHaveLength(1);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 10 });
  });

  test("it is denied once an agent of its chain is stopped, open hold or not", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const keyed = { ...usd(10), key: "k" };
    counter.ask(keyed);
    const stopped = counter.ask({ ...keyed, refusal: { reason: "agent_suspended", detail: "stopped" } });
    expect(stopped).toMatchObject({ decision: false, reason: "agent_suspended" });
  });

  test("another caller's key is another key", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.ask({ ...usd(10), key: "k" });
    expect(counter.ask({ ...usd(20), key: "k", fingerprint: "other", caller: "b" }).decision).toBe(true);
  });

  test("a denial is answered again as it was", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.ask({ ...usd(101), key: "k" });
    counter.grant("agent-usd", leaf, 100);
    expect(counter.ask({ ...usd(101), key: "k" }).reason).toBe("amount_too_large");
    expect(counter.ask({ ...usd(101), key: "k2" }).decision).toBe(true);
  });
});

describe("holds", () => {
  test("only the caller that holds, or an administrator, may change a hold", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(10));
    expect(() => counter.settle(hold, {}, { caller: "other" })).toThrow("not_found");
    expect(() => counter.release(hold, { caller: "other" })).toThrow("not_found");
    expect(() => counter.extend(hold, {}, { caller: "other" })).toThrow("not_found");
    expect(() => counter.settle("hold_unknown", {})).toThrow("not_found");
    expect(counter.release(hold, { caller: "operator", admin: true }).state).toBe("released");
  });

  test("a settlement beyond the hold is recorded as it is, told once, and stops what comes after", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    expect(counter.settle(hold, { usd_micros: 130 })).toMatchObject({ overrun: true });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 130, held: 0 });
    expect(types(counter)).toEqual(["budget.overrun"]);
    expect(counter.ask(usd(1)).reason).toBe("budget_exhausted");
  });

  test("a release after captures keeps what was captured", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    counter.settle(hold, { usd_micros: 20 }, { final: false });
    counter.release(hold);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 20, held: 0 });
  });

  test("what was counted with the decision can't be settled again", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("calls", { unit: "requests" }));
    const { hold } = counter.ask(usd(50));
    expect(() => counter.settle(hold, { requests: 3 })).toThrow("invalid_request");
    expect(counter.account("calls", leaf)).toMatchObject({ used: 1 });
  });

  test("a top-up is admitted like a question: on every account, or not at all", () => {
    const counter = counterOf(...hierarchy);
    counter.usage("spent", { ...usd(900), values: { agent: ["top"] } });
    const { hold } = counter.ask(inRun("r1", 50));
    expect(() => counter.extend(hold, { usd_micros: 51 })).toThrow(
      "budget_held: the budget `agent-usd` of `agent:top`",
    );
    expect(every(counter)).toMatchObject({ "agent-usd agent:leaf": [0, 50], "org-usd org:example": [0, 50] });
    expect(counter.extend(hold, { usd_micros: 50 }).amounts).toEqual({ usd_micros: 100 });
    expect(every(counter)).toMatchObject({
      "agent-usd agent:leaf": [0, 100],
      "agent-usd agent:top": [900, 100],
    });
  });

  test("a top-up on a rolling window counts all of the window, not the hold's bucket alone", () => {
    const rolling = { kind: "rolling", lengthMs: 86_400_000, buckets: 24 } as const;
    const counter = counterOf(budgetOf("agent-usd", { window: rolling }));
    counter.usage("earlier", usd(70));
    counter.now += 3 * hour;
    const { hold } = counter.ask(usd(30));
    expect(() => counter.extend(hold, { usd_micros: 1 })).toThrow("budget_held");
  });

  test("a top-up after midnight is admitted by the day of the hold, whatever today has used", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.now = counter.now - (counter.now % day) - second;
    const { hold } = counter.ask(usd(50));
    counter.now += 2 * second;
    counter.ask(usd(100));
    expect(counter.extend(hold, { usd_micros: 50 }).amounts).toEqual({ usd_micros: 100 });
    expect(() => counter.extend(hold, { usd_micros: 1 })).toThrow("conflict");
  });

  test("a top-up of an overrun hold is held on top of what was captured, and charged as such", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(10));
    counter.settle(hold, { usd_micros: 20 }, { final: false });
    expect(counter.extend(hold, { usd_micros: 5 }).amounts).toEqual({ usd_micros: 25 });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 20, held: 5 });
    counter.settle(hold, {});
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 25, held: 0 });
    expect(counter.ledger.usage({ groupBy: [] })).toEqual([{ group: {}, unit: "usd_micros", amount: 25 }]);
  });

  test("an extension never cuts a hold's time short", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(10));
    const { expiresAt } = counter.extend(hold, {}, { ttlMs: 3_600_000 });
    expect(counter.extend(hold, {}, { ttlMs: 1000 }).expiresAt).toBe(expiresAt);
  });

  test("what is counted with a decision can't be topped up", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("calls", { unit: "requests" }));
    const { hold } = counter.ask(usd(10));
    expect(() => counter.extend(hold, { requests: 1 })).toThrow("invalid_request");
  });

  test("a top-up is money of the run, and its cap holds", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(inRun("r1", 50));
    const capped = { runUsdMicrosMax: 70 };
    expect(() => counter.extend(hold, { usd_micros: 21 }, capped)).toThrow("runaway_limit");
    expect(counter.extend(hold, { usd_micros: 20 }, capped).amounts).toEqual({ usd_micros: 70 });
  });

  test("a hold that has lapsed can't be extended", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    counter.now += 15 * minute;
    expect(() => counter.extend(hold)).toThrow("conflict");
  });

  test("each line of one hold lapses as its own budget says", () => {
    const counter = counterOf(budgetOf("charged"), budgetOf("given-back", { onLapse: "release" }));
    counter.ask(usd(50));
    counter.now += 15 * minute;
    expect(counter.ledger.lapse(counter.now)).toBe(1);
    expect(every(counter)).toEqual({ "charged agent:leaf": [50, 0], "given-back agent:leaf": [0, 0] });
    expect(counter.ledger.lapse(counter.now)).toBe(0);
  });

  test("a release after a lapse gives the charge back", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    counter.now += 15 * minute;
    expect(counter.release(hold)).toMatchObject({ state: "released", late: true });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 0 });
  });
});

describe("modes, grants, corrections", () => {
  test("a soft budget permits beyond its limit and tells of it; a shadow one stops nothing", () => {
    const counter = counterOf(
      budgetOf("soft", { mode: "soft", alerts: [100] }),
      budgetOf("shadow", { mode: "shadow", limit: 10 }),
    );
    counter.settle(counter.ask(usd(150)).hold, { usd_micros: 150 });
    expect(counter.ask(usd(1)).decision).toBe(true);
    expect(every(counter)).toEqual({ "soft agent:leaf": [150, 1], "shadow agent:leaf": [150, 1] });
    expect(types(counter)).toEqual(["budget.threshold"]);
  });

  test("a grant raises one account's limit, at once and until it ends", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.ask(usd(100));
    expect(counter.ask(usd(50)).reason).toBe("budget_held");
    counter.grant("agent-usd", leaf, 50, counter.now + minute);
    expect(counter.ask({ ...usd(100), values: { agent: ["other"] } }).decision).toBe(true);
    expect(counter.ask({ ...usd(1), values: { agent: ["other"] } }).decision).toBe(false);
    expect(counter.ask(usd(50)).decision).toBe(true);
    counter.now += minute;
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 150, limit: 100 });
    expect(counter.ask(usd(1)).decision).toBe(false);
    expect(counter.ledger.grants("agent-usd")).toMatchObject([
      { account: leaf, amount: 50, reason: "month end" },
    ]);
  });

  test("a correction moves what was used, once under its key, and never below nothing", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.usage("u", usd(80));
    counter.adjust("agent-usd", leaf, -50, "k");
    counter.adjust("agent-usd", leaf, -50, "k");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 30 });
    expect(() => counter.adjust("agent-usd", leaf, -31)).toThrow("conflict");
    expect(() => counter.adjust("agent-usd", "agent:nobody", 1)).toThrow("not_found");
    counter.adjust("agent-usd", leaf, 70);
    expect(counter.ask(usd(1)).reason).toBe("budget_exhausted");
  });

  test("what is taken back from a rolling window leaves it with the use it corrects", () => {
    const rolling = { kind: "rolling", lengthMs: 86_400_000, buckets: 24 } as const;
    const counter = counterOf(budgetOf("agent-usd", { window: rolling }));
    counter.usage("early", usd(60));
    counter.now += 5 * hour;
    counter.usage("late", usd(30));
    counter.now += 5 * hour;
    expect(() => counter.adjust("agent-usd", leaf, -91)).toThrow("conflict");
    expect(counter.adjust("agent-usd", leaf, -50)).toMatchObject({ used: 40 });
    expect(counter.adjust("agent-usd", leaf, -15)).toMatchObject({ used: 25 });
    expect(counter.ledger.auditBalances()).toEqual([]);
    counter.now += 16 * hour;
    // The early use and what was taken back of it are over: of the late use 25 are left.
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 25 });
    expect(counter.ask(usd(76)).reason).toBe("budget_exhausted");
    expect(counter.ask(usd(75)).decision).toBe(true);
  });

  test("a correction of a rolling window that would move too many of its buckets is refused whole", () => {
    const rolling = { kind: "rolling", lengthMs: 86_400_000, buckets: 96 } as const;
    const counter = counterOf(budgetOf("agent-usd", { window: rolling }));
    for (let n = 0; n < 60; n++) {
      counter.usage(`u${n}`, usd(1));
      counter.now += 15 * minute;
    }
    expect(() => counter.adjust("agent-usd", leaf, -49)).toThrow("take back less at once");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 60 });
    expect(counter.adjust("agent-usd", leaf, -48)).toMatchObject({ used: 12 });
  });

  test("usage without a hold counts on every account of the chain, whatever the limits", () => {
    const counter = counterOf(...hierarchy);
    counter.ask(inRun("r1", 1));
    counter.usage("u", inRun("r1", 20_000));
    for (const [account, [used]] of Object.entries(every(counter)))
      expect([account, used]).toEqual([account, 20_000]);
  });
});

const price: Price = {
  model: "small-1",
  rates: {
    input: 1_000_000,
    cachedInput: 1_000_000,
    cacheWrite: 1_000_000,
    output: 2_000_000,
    reasoning: 2_000_000,
  },
  requestMicros: 0,
  tiers: [],
};
const catalogue: PriceCatalogue = { version: "v1", models: new Map([["small-1", [price]]]) };
const estimate = { kind: "tokens", inputTokens: 20, maxOutputTokens: 100 } as const;

describe("priced estimates", () => {
  test("where less output fits than was asked, whoever can cap it gets as much as fits, and no more is held", () => {
    const counter = counterOf(
      budgetOf("agent-usd"),
      budgetOf("agent-tokens", { unit: "tokens", limit: 1000 }),
    );
    counter.prices = catalogue;
    expect(counter.ask({ estimate }).reason).toBe("amount_too_large");
    const capped = counter.ask({ estimate, supports: ["cap_output_tokens"] });
    expect(capped.verdict.obligations).toEqual([
      { id: "budget", type: "cap_output_tokens", properties: { max_output_tokens: 40 } },
    ]);
    expect(every(counter)).toEqual({ "agent-usd agent:leaf": [0, 100], "agent-tokens agent:leaf": [0, 60] });
    expect(counter.ask({ estimate, supports: ["cap_output_tokens"] }).decision).toBe(false);
  });

  test("usage is settled by the price of the hold, to the micro-dollar", () => {
    const counter = counterOf(budgetOf("agent-usd", { limit: 1000 }));
    counter.prices = catalogue;
    const { hold } = counter.ask({ estimate });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 220 });
    counter.prices = { version: "v2", models: new Map() };
    const usage = { inputUncached: 20, cachedInput: 0, cacheWrite: 0, output: 30, reasoning: 0 };
    counter.settle(hold, {}, { usage });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 80, held: 0 });
  });
});

const caps = (rules: Partial<Runaway>, fingerprint = "f"): RunawayRules => ({
  rules: { mode: "enforce", run: {}, ...rules },
  fingerprint,
});

describe("runs", () => {
  const free = budgetOf("agent-usd", { limit: 1_000_000 });

  test("a run is its first caller's, agent's and parent's", () => {
    const counter = counterOf(free);
    counter.ask({ ...usd(1), run: "p" });
    counter.ask({ ...usd(1), run: "r", parentRun: "p" });
    expect(counter.ask({ ...usd(1), run: "r" }).decision).toBe(true);
    expect(counter.ask({ ...usd(1), run: "r", caller: "other" }).reason).toBe("identity_mismatch");
    expect(counter.ask({ ...usd(1), run: "r", values: { agent: ["other"] } }).reason).toBe(
      "identity_mismatch",
    );
    expect(counter.ask({ ...usd(1), run: "r", parentRun: "q" }).reason).toBe("identity_mismatch");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 3 });
  });

  test("nobody spends in a run that another caller began, however far above the own one it is", () => {
    const counter = counterOf(budgetOf("run-usd", { per: ["run"] }));
    const other = { ...usd(10), caller: "other", values: { agent: ["other"] } };
    counter.ask({ ...usd(1), run: "theirs" });
    expect(counter.ask({ ...other, run: "mine", parentRun: "theirs" }).reason).toBe("identity_mismatch");
    // What was refused bound nothing.
    expect(counter.ask({ ...other, run: "mine", parentRun: "above" }).decision).toBe(true);
    expect(counter.ask({ ...usd(1), run: "above" }).decision).toBe(true);
    for (const asked of [{ run: "mine" }, { run: "below", parentRun: "mine" }])
      expect(counter.ask({ ...other, ...asked }).reason).toBe("identity_mismatch");
    expect(counter.account("run-usd", "run:theirs")).toMatchObject({ held: 1 });
    expect(counter.account("run-usd", "run:above")).toMatchObject({ held: 11 });
  });

  test.each<[string, Runaway["run"], number]>([
    ["calls", { calls: 3 }, 3],
    ["money", { usdMicros: 30 }, 3],
  ])("a cap on the run's %s stops the question that would exceed it", (_name, run, permits) => {
    const counter = counterOf(free);
    const answers = counter.batch(
      Array.from({ length: 5 }, (_, n) => ({ ...usd(10), run: "r", runaway: caps({ run }, `f${n}`) })),
    );
    expect(answers.filter(({ decision }) => decision)).toHaveLength(permits);
    expect(answers.at(-1)!.reason).toBe("runaway_limit");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: permits * 10 });
  });

  test("a settlement for less gives the run's cap the rest back", () => {
    const counter = counterOf(free);
    const asked = { ...usd(30), run: "r", runaway: caps({ run: { usdMicros: 30 } }) };
    counter.settle(counter.ask(asked).hold, { usd_micros: 10 });
    expect(counter.ask({ ...asked, ...usd(21) }).reason).toBe("runaway_limit");
    expect(counter.ask({ ...asked, ...usd(20) }).decision).toBe(true);
  });

  test("a run's money cap holds for the runs below it together", () => {
    const counter = counterOf(free);
    const runaway = caps({ run: { usdMicros: 100 } });
    counter.ask({ ...usd(10), run: "p", runaway });
    expect(counter.ask({ ...usd(90), run: "a", parentRun: "p", runaway }).decision).toBe(true);
    expect(counter.ask({ ...usd(1), run: "b", parentRun: "p", runaway }).reason).toBe("runaway_limit");
  });

  test("a run's time is over when its seconds are", () => {
    const counter = counterOf(free);
    const asked = { ...usd(1), run: "r", runaway: caps({ run: { seconds: 60 } }) };
    counter.ask(asked);
    counter.now += 61 * second - 1;
    expect(counter.ask(asked).decision).toBe(true);
    counter.now += 1;
    expect(counter.ask(asked).reason).toBe("runaway_limit");
  });

  test("a run may begin so many runs, and so deep", () => {
    const counter = counterOf(free);
    const ask = (run: string, parentRun?: string) =>
      counter.ask({
        ...usd(1),
        run,
        runaway: caps({ run: { children: 2, depth: 2 } }),
        ...(parentRun === undefined ? {} : { parentRun }),
      }).decision;
    expect([ask("r"), ask("a", "r"), ask("b", "r"), ask("c", "r")]).toEqual([true, true, true, false]);
    expect([ask("aa", "a"), ask("aaa", "aa")]).toEqual([true, false]);
  });

  test("an agent may begin so many runs within a time, and one that is refused is not begun", () => {
    const counter = counterOf(free);
    const runaway = caps({ agent: { runs: 2, withinMs: 3_600_000 } });
    const ask = (run: string, more: object = {}) => counter.ask({ ...usd(1), run, runaway, ...more }).reason;
    expect([ask("a"), ask("b"), ask("c"), ask("c")]).toEqual([
      "policy_permit",
      "policy_permit",
      "runaway_limit",
      "runaway_limit",
    ]);
    // Those that it began go on, and another agent's are its own.
    expect([ask("a"), ask("b")]).toEqual(["policy_permit", "policy_permit"]);
    expect(ask("d", { values: { agent: ["other"] } })).toBe("policy_permit");
    // A run below another is one, too.
    expect(ask("e", { parentRun: "a" })).toBe("runaway_limit");
    expect(ask("e", { dryRun: true })).toBe("runaway_limit");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 4 });
    expect(types(counter)).toEqual(["runaway"]);
    counter.now += 60 * minute + second;
    expect([ask("c"), ask("e", { dryRun: true }), ask("e"), ask("f")]).toEqual([
      "policy_permit",
      "policy_permit",
      "policy_permit",
      "runaway_limit",
    ]);
    expect(ask("g", { runaway: caps({ mode: "observe", agent: { runs: 2, withinMs: 3_600_000 } }) })).toBe(
      "policy_permit",
    );
  });

  test("the fifth same question within the window is a loop, told once; another question is none", () => {
    const counter = counterOf(free);
    const loop = { repeats: 5, withinMs: 600_000 };
    const asked = { ...usd(1), run: "r", runaway: caps({ loop }) };
    const answers = Array.from({ length: 7 }, () => counter.ask(asked).reason);
    expect(answers).toEqual([
      ...Array<string>(4).fill("policy_permit"),
      ...Array<string>(3).fill("loop_detected"),
    ]);
    expect(counter.ask({ ...asked, runaway: caps({ loop }, "other") }).decision).toBe(true);
    expect(new Set(counter.alerts.map(({ id }) => id)).size).toBe(1);
    counter.now += 10 * minute + second;
    expect(counter.ask(asked).decision).toBe(true);
  });

  test("A-B-A-B is a loop as well, and so is a denied question asked again and again", () => {
    const counter = counterOf(free);
    const loop = { repeats: 3, withinMs: 600_000 };
    const reasons = ["a", "b", "a", "b", "a", "b"].map(
      (fingerprint) => counter.ask({ ...usd(1), run: "r", runaway: caps({ loop }, fingerprint) }).reason,
    );
    expect(reasons.slice(0, 4)).toEqual(Array(4).fill("policy_permit"));
    expect(reasons.slice(4)).toEqual(["loop_detected", "loop_detected"]);
    const refusal = { reason: "unknown_action", detail: "" } as const;
    for (let n = 0; n < 5; n++)
      counter.ask({ ...usd(2_000_000), run: "q", runaway: caps({ loop }, "too much") });
    expect(counter.ask({ ...usd(1), run: "q", runaway: caps({ loop }, "too much") }).reason).toBe(
      "loop_detected",
    );
    expect(counter.ask({ ...usd(1), run: "q", refusal, runaway: caps({ loop }) }).reason).toBe(
      "unknown_action",
    );
  });

  test("where runaway protection only observes, it tells and denies nothing", () => {
    const counter = counterOf(free);
    const runaway = caps({ mode: "observe", run: { calls: 1 } });
    expect([1, 2].map(() => counter.ask({ ...usd(1), run: "r", runaway }).decision)).toEqual([true, true]);
    expect(types(counter)).toEqual(["runaway"]);
  });
});

describe("the book of budgets", () => {
  test.each<[string, Partial<Budget>]>([
    ["unit", { unit: "tokens" }],
    ["per", { per: ["team"] }],
    ["window", { window: lifetime }],
  ])("the %s of a budget can't change under its id, and the book before stays in force", (what, parts) => {
    const counter = counterOf(budgetOf("agent-usd"));
    expect(counter.ledger.takeBook([budgetOf("agent-usd", parts)])).toMatchObject([
      { budget: "agent-usd", message: expect.stringContaining(`the ${what} of`) as string },
    ]);
    counter.ask(usd(10));
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 10, limit: 100 });
    expect(counter.ledger.takeBook([budgetOf("agent-usd", { limit: 7, mode: "soft" })])).toEqual([]);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 10, limit: 7 });
  });
});
