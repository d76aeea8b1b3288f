/**
 * Budgets on a real ledger file: the known failures of other systems (F1 to F20), each as a test, and what becomes of
 * holds. After every test all balances are recomputed from the entries.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { Budget, Runaway } from "../../budget/budget.ts";
import type { Price, PriceCatalogue } from "../../budget/prices.ts";

import type { RunawayRules } from "../../budget/runaway.ts";
import { uuidv7 } from "../../kit/id.ts";
import { type Ask, budgetOf, day, hour, minute, second } from "../suite/questions.ts";
import { Sqlite } from "./driver.ts";
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
const types = ({ alerts }: Counter): string[] => alerts.map(({ type }) => type);
const leaf = "agent:leaf";

/** A chain of four agents below a person, in a team, in an organisation, in a run below three others. */
const chain = ["top", "mid", "low", "leaf"];
const hierarchy: Budget[] = [
  budgetOf("org-usd", { limit: 10_000, per: ["org"] }),
  budgetOf("team-usd", { limit: 5000, per: ["team"] }),
  budgetOf("user-usd", { limit: 2000, per: ["user"] }),
  budgetOf("agent-usd", { limit: 1000 }),
  budgetOf("run-usd", { limit: 500, per: ["run"], window: { kind: "lifetime" } }),
];
const inHierarchy = (amount: number, more: Ask = {}): Ask => ({
  ...usd(amount),
  ...more,
  values: { agent: chain, user: ["ada"], team: ["web"], org: ["example"], run: [more.run ?? "r4"] },
});

describe("known failures of other systems", () => {
  test("F1: of 1,000 questions in one commit exactly as many pass as fit, also on an account that they open", () => {
    const counter = counterOf(budgetOf("agent-usd", { limit: 70 }));
    const answers = counter.batch(Array.from({ length: 1000 }, () => usd(10)));
    expect(answers.filter(({ decision }) => decision)).toHaveLength(7);
    expect(counter.account("agent-usd", leaf)).toEqual({ used: 0, held: 70, limit: 70 });
  });

  test("F2: a restart forgets nothing that was held or used", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.settle(counter.ask(usd(40)).hold, { usd_micros: 40 });
    counter.ask(usd(50));
    counter.reopen();
    expect(counter.account("agent-usd", leaf)).toEqual({ used: 40, held: 50, limit: 100 });
    expect(counter.ask(usd(11)).reason).toBe("budget_held");
    expect(counter.ask(usd(10)).decision).toBe(true);
  });

  test("F3: a hold whose holder died stops counting when its time is over, without anyone asking for it", () => {
    const counter = counterOf(budgetOf("agent-usd", { onLapse: "release" }));
    counter.ask(usd(100));
    expect(counter.ask(usd(1)).reason).toBe("budget_held");
    counter.now += 15 * minute;
    expect(counter.ask(usd(100)).decision).toBe(true);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 100 });
  });

  test("F3: parallel slots are given back by settling, releasing and lapsing alike", () => {
    const slots = budgetOf("slots", {
      unit: "concurrent",
      limit: 3,
      window: { kind: "lifetime" },
      onLapse: "release",
    });
    const counter = counterOf(slots);
    const [first, secondSlot] = [counter.ask(), counter.ask(), counter.ask()];
    expect(counter.ask().reason).toBe("budget_held");
    counter.settle(first.hold, {});
    counter.release(secondSlot.hold);
    expect(counter.account("slots", leaf)).toMatchObject({ used: 0, held: 1 });
    counter.now += 15 * minute;
    counter.ledger.lapse(counter.now);
    expect(counter.account("slots", leaf)).toMatchObject({ used: 0, held: 0 });
  });

  test("F3: money that a lapse gave back is given back to its run's cap as well", () => {
    const counter = counterOf(budgetOf("agent-usd", { onLapse: "release" }));
    const asked = { ...usd(100), run: "r", runaway: caps({ run: { usdMicros: 100 } }) };
    expect(counter.ask(asked).decision).toBe(true);
    counter.now += 15 * minute;
    expect(counter.ask(asked).reason).toBe("policy_permit");
  });

  test("F4: a hold that nobody settles is charged, and a late settlement replaces the charge", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(80));
    counter.now += 15 * minute;
    counter.ledger.lapse(counter.now);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 80, held: 0 });
    expect(counter.settle(hold, { usd_micros: 30 })).toMatchObject({ state: "settled", late: true });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 30, held: 0 });
  });

  test("F4: a unit that the settlement leaves out is charged in full", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("agent-tokens", { unit: "tokens" }));
    const { hold } = counter.ask({ amounts: { usd_micros: 60, tokens: 50 } });
    counter.settle(hold, { tokens: 20 });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 60, held: 0 });
    expect(counter.account("agent-tokens", leaf)).toMatchObject({ used: 20, held: 0 });
  });

  test("F4: so is it when the settlement comes after the lapse and doesn't call itself final", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("agent-tokens", { unit: "tokens" }));
    const { hold } = counter.ask({ amounts: { usd_micros: 60, tokens: 50 } });
    counter.now += 15 * minute;
    counter.settle(hold, { tokens: 20 }, { final: false });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 60, held: 0 });
    expect(counter.account("agent-tokens", leaf)).toMatchObject({ used: 20, held: 0 });
  });

  test("F5: settling and releasing twice has one effect, with and without a key", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const keyed = { idempotency: { key: "k", fingerprint: "f" } };
    const { hold } = counter.ask(usd(50));
    const first = counter.settle(hold, { usd_micros: 30 }, keyed);
    expect(counter.settle(hold, { usd_micros: 30 }, keyed)).toEqual(first);
    expect(counter.settle(hold, { usd_micros: 30 })).toEqual(first);
    expect(() => counter.settle(hold, { usd_micros: 31 })).toThrow("conflict");
    expect(() => counter.settle(hold, {}, { idempotency: { key: "k", fingerprint: "g" } })).toThrow(
      "idempotency_mismatch",
    );
    expect(() => counter.release(hold)).toThrow("conflict");
    const other = counter.ask(usd(50)).hold;
    const released = counter.release(other);
    expect(counter.release(other)).toEqual(released);
    expect(() => counter.settle(other, { usd_micros: 1 })).toThrow("conflict");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 30, held: 0 });
  });

  test("F5: settle and release of one hold in one commit: the first counts, the second is refused", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    const base = { at: counter.now, caller: "pep", admin: false, hold };
    const done = counter.ledger.commit([
      {
        kind: "hold",
        command: {
          ...base,
          id: uuidv7(counter.now),
          verb: "settle",
          amounts: { usd_micros: 9 },
          final: true,
        },
      },
      { kind: "hold", command: { ...base, id: uuidv7(counter.now), verb: "release" } },
    ]);
    expect(done).toMatchObject([{ value: { state: "settled" } }, { problem: { code: "conflict" } }]);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 9, held: 0 });
  });

  test("F5: nothing is settled beyond what can be counted exactly", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(50));
    counter.settle(hold, { usd_micros: Number.MAX_SAFE_INTEGER }, { final: false });
    expect(() => counter.settle(hold, { usd_micros: Number.MAX_SAFE_INTEGER }, { final: false })).toThrow(
      "conflict",
    );
    expect(() => counter.usage("e", usd(1))).toThrow("conflict");
    expect(counter.account("agent-usd", leaf).used).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("F6: balances derive from the ledger alone: opening it again, over and over, changes none", () => {
    const counter = counterOf(...hierarchy);
    counter.settle(counter.ask(inHierarchy(120)).hold, { usd_micros: 33 });
    counter.ask(inHierarchy(70));
    const before = hierarchy.map(({ id }) => counter.ledger.accounts(id, counter.now, 99, ""));
    for (let n = 0; n < 5; n++) counter.reopen();
    expect(hierarchy.map(({ id }) => counter.ledger.accounts(id, counter.now, 99, ""))).toEqual(before);
  });

  test("F7: when the commit fails nothing of any act in it stays", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    counter.ask(usd(10));
    counter.ledger.bound(1);
    const big = Array.from({ length: 200 }, (_, n) => ({ ...usd(1), values: { agent: [`agent-${n}`] } }));
    expect(() => counter.batch(big)).toThrow("could not be recorded");
    counter.ledger.bound(1_000_000);
    expect(counter.ledger.accounts("agent-usd", counter.now, 999, "")).toHaveLength(1);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 10 });
    expect(counter.ledger.entries({ limit: 999, order: "asc" }).entries).toHaveLength(1);
    expect(counter.ask(usd(90)).decision).toBe(true);
  });

  test("F8: a new day needs no write and loses nothing of the day before", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const yesterday = counter.ask(usd(100));
    counter.now += day;
    counter.now -= counter.now % day;
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 0 });
    // The hold has lapsed meanwhile; its charge and its late settlement belong to the day in which it was made.
    expect(counter.ask(usd(100)).decision).toBe(true);
    counter.settle(yesterday.hold, { usd_micros: 7 });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 100 });
    counter.now -= second;
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 7 });
  });

  test("F9: the day of an account is the day of its zone", () => {
    const zone = { kind: "calendar", every: "day", zone: "Asia/Shanghai", weekStart: 1 } as const;
    const counter = counterOf(budgetOf("agent-usd", { window: zone }));
    counter.now = Date.UTC(2026, 10, 24, 15, 59, 59) * 1000;
    counter.ask(usd(100));
    const denied = counter.ask(usd(100));
    expect(denied.reason).toBe("budget_held");
    counter.now += second;
    expect(counter.ask(usd(100)).decision).toBe(true);
  });

  test("F10: the limit is exact: all of it fits, one more doesn't, however small the parts", () => {
    const counter = counterOf(budgetOf("agent-usd", { limit: 662 }));
    for (let n = 0; n < 662; n++) expect(counter.ask(usd(1)).decision).toBe(true);
    expect(counter.ask(usd(1)).decision).toBe(false);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 662 });
  });

  test("F10: the greatest limit is counted exactly, too", () => {
    const limit = Number.MAX_SAFE_INTEGER;
    const counter = counterOf(budgetOf("agent-usd", { limit }));
    const { hold } = counter.ask(usd(limit - 1));
    expect(counter.ask(usd(2)).decision).toBe(false);
    expect(counter.ask(usd(1)).decision).toBe(true);
    counter.settle(hold, { usd_micros: limit - 1 });
    expect(counter.account("agent-usd", leaf)).toEqual({ used: limit - 1, held: 1, limit });
  });

  test("F11: a stream captures as it goes, and whatever it leaves open is charged", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(90));
    counter.settle(hold, { usd_micros: 20 }, { final: false });
    counter.settle(hold, { usd_micros: 30 }, { final: false });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 50, held: 40 });
    expect(counter.ask(usd(11)).reason).toBe("budget_held");
    counter.now += 15 * minute;
    counter.ledger.lapse(counter.now);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 90, held: 0 });
    expect(counter.ledger.usage({ groupBy: ["agent"] })).toEqual([
      { group: { agent: "leaf" }, unit: "usd_micros", amount: 90 },
    ]);
  });

  test("F12: a question repeated under its key holds once", () => {
    const counter = counterOf(budgetOf("agent-usd"), budgetOf("calls", { unit: "requests", limit: 5 }));
    const first = counter.ask({ ...usd(60), key: "k" });
    const again = counter.ask({ ...usd(60), key: "k" });
    expect([again.decision, again.hold]).toEqual([true, first.hold]);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 60 });
    expect(counter.account("calls", leaf)).toMatchObject({ used: 1 });
  });

  test("F12: the same usage event counts once, and another event under its id is refused", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    expect(counter.usage("event-1", usd(30))).toMatchObject({
      duplicate: false,
      amounts: { usd_micros: 30 },
    });
    expect(counter.usage("event-1", usd(30))).toMatchObject({ duplicate: true, amounts: { usd_micros: 30 } });
    expect(() => counter.usage("event-1", usd(31), "other")).toThrow("idempotency_mismatch");
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 30 });
  });

  test("F13: a model without a price is denied under a money budget, whatever tokens would fit", () => {
    const counter = counterOf(
      budgetOf("agent-usd"),
      budgetOf("agent-tokens", { unit: "tokens", limit: 9999 }),
    );
    const estimate = { kind: "tokens", inputTokens: 10, maxOutputTokens: 10 } as const;
    const denied = counter.ask({ estimate });
    expect(denied.reason).toBe("unpriced");
    counter.prices = catalogue;
    expect(counter.ask({ estimate }).decision).toBe(true);
    expect(counter.ask({ estimate: { ...estimate, model: "cheaper" } }).reason).toBe("unpriced");
    expect(counter.account("agent-tokens", leaf)).toMatchObject({ held: 20 });
  });

  test("F13: usage that can't be priced is charged as it was held, and someone hears of it", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask(usd(60));
    const usage = {
      inputUncached: 1,
      cachedInput: 0,
      cacheWrite: 0,
      output: 1,
      reasoning: 0,
      model: "other",
    };
    counter.settle(hold, {}, { usage });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 60, held: 0 });
    expect(types(counter)).toEqual(["usage.unpriced"]);
  });

  test("F14: a metered action that no budget covers is denied", () => {
    const counter = counterOf(budgetOf("agent-usd", { for: { resourceTypes: ["Tool"], where: [] } }));
    expect(counter.ask(usd(1)).reason).toBe("no_budget");
    expect(counter.ask({ ...usd(1), metered: false }).decision).toBe(true);
  });

  test("F14: a metered question that names no amount is denied, or held by the budget's own estimate", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    expect(counter.ask().reason).toBe("estimate_required");
    counter.budgets = [budgetOf("agent-usd", { defaultEstimate: 25 })];
    expect(counter.ask().decision).toBe(true);
    expect(counter.account("agent-usd", leaf)).toMatchObject({ held: 25 });
  });

  test("F15: where a judgement breaks, its question alone is denied, and nothing of it is debited", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const facts = counter.facts(usd(10));
    const broken = { ...facts, id: uuidv7(counter.now), demand: { ...facts.demand, touches: [{}] } };
    const [bad, good] = counter.ledger.decide({
      at: counter.now,
      facts: [JSON.stringify(broken), JSON.stringify(facts)],
    });
    expect(bad).toMatchObject({ verdict: { decision: false, reason: "policy_error" } });
    expect(good).toMatchObject({ verdict: { decision: true } });
    expect(counter.account("agent-usd", leaf)).toMatchObject({ used: 0, held: 10 });
  });

  test("F16: a denied question changes no balance, neither of the budget that stopped it nor of any other", () => {
    const counter = counterOf(
      budgetOf("calls", { unit: "requests", limit: 10 }),
      budgetOf("agent-usd"),
      budgetOf("slots", { unit: "concurrent", limit: 10, window: { kind: "lifetime" } }),
    );
    expect(counter.ask(usd(101)).reason).toBe("amount_too_large");
    for (const id of ["calls", "agent-usd", "slots"])
      expect(counter.account(id, leaf)).toMatchObject({ used: 0, held: 0 });
  });

  test("F17: each threshold is told once for an account, window and limit, however many questions cross it", () => {
    const counter = counterOf(budgetOf("calls", { unit: "requests", limit: 10, alerts: [50, 80, 100] }));
    counter.batch(Array.from({ length: 20 }, () => ({})));
    const told = () =>
      counter.alerts.filter(({ type }) => type === "budget.threshold").map(({ data }) => data["threshold"]);
    expect(told()).toEqual([50, 80, 100]);
    expect(types(counter).filter((type) => type === "budget.exhausted")).toHaveLength(1);
    counter.reopen();
    counter.ask();
    expect(counter.alerts).toHaveLength(4);
    counter.grant("calls", leaf, 2);
    counter.batch([{}, {}, {}]);
    expect(told()).toEqual([50, 80, 100, 50, 80, 100]);
    counter.now += day;
    counter.batch(Array.from({ length: 6 }, () => ({})));
    expect(told().slice(6)).toEqual([50]);
  });

  test("F17: settling yesterday's hold tells nothing of yesterday that only today's use would have reached", () => {
    const counter = counterOf(budgetOf("agent-usd", { holdTtlMs: 86_400_000, alerts: [50] }));
    counter.now = counter.now - (counter.now % day) - minute;
    const { hold } = counter.ask(usd(30));
    counter.now += 2 * minute;
    const today = counter.ask(usd(40)).hold;
    counter.settle(today, { usd_micros: 40 });
    counter.settle(hold, { usd_micros: 30 });
    expect(types(counter)).toEqual([]);
  });

  test("F17: a rolling window's threshold is told when a settlement crosses it, counting all of the window", () => {
    const rolling = { kind: "rolling", lengthMs: 86_400_000, buckets: 24 } as const;
    const counter = counterOf(budgetOf("agent-usd", { window: rolling, alerts: [50] }));
    counter.settle(counter.ask(usd(40)).hold, { usd_micros: 40 });
    counter.now += 2 * hour;
    counter.settle(counter.ask(usd(40)).hold, { usd_micros: 40 });
    expect(types(counter)).toEqual(["budget.threshold"]);
  });

  test("F18: a hold that is extended outlives its first term, and an unreadable one keeps nobody from lapsing", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const [kept, poisoned, lapsing] = [counter.ask(usd(10)), counter.ask(usd(10)), counter.ask(usd(10))];
    counter.now += 14 * minute;
    counter.extend(kept.hold);
    counter.now += 2 * minute;
    const other = new Sqlite(counter.file);
    const amounts = other.prepare("update hold set amounts = ? where id = ?");
    amounts.run("{", poisoned.hold);
    expect(counter.ask(usd(70)).decision).toBe(true);
    expect(counter.account("agent-usd", leaf)).toEqual({ used: 10, held: 90, limit: 100 });
    expect(counter.warnings).not.toEqual([]);
    amounts.run('{"usd_micros":10}', poisoned.hold);
    other.close();
    counter.ledger.lapse(counter.now);
    expect(counter.account("agent-usd", leaf)).toEqual({ used: 20, held: 80, limit: 100 });
    expect(counter.settle(lapsing.hold, { usd_micros: 4 })).toMatchObject({ late: true });
  });

  test("F19: a key whose hold is closed answers `already_finished`; another key is another attempt", () => {
    const counter = counterOf(budgetOf("agent-usd"));
    const { hold } = counter.ask({ ...usd(60), key: "k" });
    counter.release(hold);
    expect(counter.ask({ ...usd(60), key: "k" }).reason).toBe("already_finished");
    expect(counter.ask({ ...usd(60), key: "k2" }).decision).toBe(true);
  });

  test("F20: a denial names the budget and account that stopped it, out of several windows on one owner", () => {
    const month = { kind: "calendar", every: "month", zone: "UTC", weekStart: 1 } as const;
    const counter = counterOf(
      budgetOf("daily", { limit: 60 }),
      budgetOf("monthly", { limit: 100, window: month }),
    );
    counter.settle(counter.ask(usd(60)).hold, { usd_micros: 60 });
    const today = counter.ask(usd(40));
    expect(today.reason).toBe("budget_exhausted");
    expect(today.verdict.consumption).toMatchObject({
      budgets: [{ budget: "daily", account: leaf, limit: 60, used: 60, held: 0, amount: 40 }],
      resetsAt: Date.UTC(2026, 10, 25) * 1000,
    });
    counter.now += day;
    const tomorrow = counter.ask(usd(41));
    expect(tomorrow.verdict.consumption).toMatchObject({
      budgets: [{ budget: "monthly", used: 60 }],
      resetsAt: Date.UTC(2026, 11, 1) * 1000,
    });
    expect(tomorrow.verdict.messages.join()).toContain("Stop and do not retry before 2026-12-01");
  });
});

/** 1 micro-USD for a token in, 2 for one out. */
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

const caps = (rules: Partial<Runaway>, fingerprint = "f"): RunawayRules => ({
  rules: { mode: "enforce", run: {}, ...rules },
  fingerprint,
});
