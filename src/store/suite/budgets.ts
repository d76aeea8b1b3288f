/** What every store must do with budgets, holds and retries. */
import { expect, test } from "vitest";
import type { Budget } from "../../budget/budget.ts";
import { type Ask, budgetOf, minute } from "./questions.ts";
import { type Asker, type Backend, createWorld, type World } from "./store.ts";

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });
const permits = (answers: readonly { decision: boolean }[]): number =>
  answers.filter(({ decision }) => decision).length;

/** Runs `use` in a world of its own, whose log must verify at the end. */
const inWorld =
  (backend: Backend, budgets: Budget[], use: (world: World, asker: Asker) => Promise<void>) =>
  async (): Promise<void> => {
    const world = await createWorld(backend, budgets);
    try {
      const asker = await world.asker();
      await use(world, asker);
      await world.verify(asker);
    } finally {
      await world.end();
    }
  };

/** The tests of budgets, for a store. */
export const testBudgets = (backend: Backend): void => {
  test(
    "of many questions at once exactly as many pass as fit",
    inWorld(backend, [budgetOf("agent-usd", { limit: 70 })], async (_world, { ask, batch }) => {
      expect(permits(await batch(Array.from({ length: 50 }, () => usd(10))))).toBe(7);
      expect(await ask(usd(1))).toMatchObject({ decision: false, reason: "budget_held" });
    }),
  );

  test(
    "a question debits all accounts of its chain or none",
    inWorld(
      backend,
      [budgetOf("agent-usd", { limit: 100 }), budgetOf("user-usd", { limit: 50, per: ["user"] })],
      async (_world, { ask }) => {
        const chain = { values: { agent: ["top", "leaf"], user: ["ada"] } };
        expect(permits([await ask({ ...usd(60), ...chain })])).toBe(0);
        // Had the refused question left something on the agents, these would not fit.
        expect(permits([await ask({ ...usd(50), ...chain })])).toBe(1);
        const top = (user: string): Ask => ({ values: { agent: ["top"], user: [user] } });
        expect(permits([await ask({ ...usd(50), ...top("bob") })])).toBe(1);
        expect(await ask({ ...usd(1), ...top("cyd") })).toMatchObject({ reason: "budget_held" });
      },
    ),
  );

  test(
    "a restart forgets nothing that was held or used",
    inWorld(backend, [budgetOf("agent-usd")], async (world, before) => {
      await before.settle((await before.ask(usd(40))).hold, { usd_micros: 40 });
      await before.ask(usd(50));
      await before.close();
      const after = await world.asker();
      expect((await after.ask(usd(11))).reason).toBe("budget_held");
      expect((await after.ask(usd(10))).decision).toBe(true);
      await world.verify(after);
      await after.close();
      // What `inWorld` verifies is open again.
      Object.assign(before, await world.asker());
    }),
  );

  test(
    "what is settled below the hold, or released, can be had again",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask, settle, release }) => {
      const first = await ask(usd(100));
      expect(await settle(first.hold, { usd_micros: 30 })).toMatchObject({ state: "settled" });
      const second = await ask(usd(70));
      expect(second.decision).toBe(true);
      expect(await release(second.hold)).toMatchObject({ state: "released" });
      expect((await ask(usd(71))).decision).toBe(false);
      expect((await ask(usd(70))).decision).toBe(true);
    }),
  );

  test(
    "settling again as before changes nothing, and otherwise is refused; another caller's hold isn't there",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask, settle }) => {
      const { hold } = await ask(usd(50));
      await expect(settle(hold, { usd_micros: 20 }, { caller: "other" })).rejects.toThrow("not_found");
      const settled = await settle(hold, { usd_micros: 20 });
      expect(await settle(hold, { usd_micros: 20 })).toEqual(settled);
      await expect(settle(hold, { usd_micros: 21 })).rejects.toThrow("conflict");
      expect((await ask(usd(81))).decision).toBe(false);
      expect((await ask(usd(80))).decision).toBe(true);
    }),
  );

  test(
    "a hold that nobody settles is charged when its time is over, and a late settlement replaces the charge",
    inWorld(backend, [budgetOf("agent-usd")], async (world, { ask, settle, store }) => {
      const { hold } = await ask(usd(80));
      world.now += 15 * minute;
      expect(await store.lapse(world.now)).toBe(1);
      expect((await ask(usd(21))).reason).toBe("budget_exhausted");
      expect(await settle(hold, { usd_micros: 30 })).toMatchObject({ late: true });
      expect((await ask(usd(70))).decision).toBe(true);
    }),
  );

  test(
    "more can be held under a hold as long as it fits",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask, extend }) => {
      const { hold } = await ask(usd(50));
      await expect(extend(hold, { usd_micros: 51 })).rejects.toThrow("conflict");
      expect(await extend(hold, { usd_micros: 50 })).toMatchObject({ amounts: { usd_micros: 100 } });
      expect((await ask(usd(1))).decision).toBe(false);
    }),
  );

  test(
    "the same question under the same key is held once, and another under it is refused",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask, release }) => {
      const first = await ask({ ...usd(60), key: "k" });
      const again = await ask({ ...usd(60), key: "k" });
      expect([again.decision, again.hold]).toEqual([true, first.hold]);
      await expect(ask({ ...usd(61), key: "k", fingerprint: "other" })).rejects.toThrow(
        "idempotency_mismatch",
      );
      expect((await ask(usd(40))).decision).toBe(true);
      await release(first.hold);
      expect(await ask({ ...usd(60), key: "k" })).toMatchObject({
        decision: false,
        reason: "already_finished",
      });
    }),
  );

  test(
    "the same key twice in one act is held once",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { batch }) => {
      const [first, again] = await batch([
        { ...usd(60), key: "k" },
        { ...usd(60), key: "k" },
      ]);
      expect(again!.hold).toBe(first!.hold);
    }),
  );

  test(
    "a batch of which all or nothing is wanted holds nothing unless all fit",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask, batch }) => {
      expect(permits(await batch([usd(60), usd(60)], { allOrNothing: "try" }))).toBe(0);
      expect(permits(await batch([usd(60), usd(40)], { allOrNothing: "try" }))).toBe(2);
      expect((await ask(usd(1))).reason).toBe("budget_held");
    }),
  );

  test(
    "a run belongs to who began it, and spends what the runs above it have",
    inWorld(
      backend,
      [budgetOf("run-usd", { per: ["run"], window: { kind: "lifetime" } })],
      async (_world, { ask }) => {
        expect((await ask({ ...usd(60), run: "above" })).decision).toBe(true);
        expect(await ask({ ...usd(1), run: "above", caller: "other" })).toMatchObject({
          reason: "identity_mismatch",
        });
        expect((await ask({ ...usd(41), run: "below", parentRun: "above" })).decision).toBe(false);
        expect((await ask({ ...usd(40), run: "below", parentRun: "above" })).decision).toBe(true);
      },
    ),
  );

  test(
    "what stops one question stops no other, whatever is in its names",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { ask }) => {
      const odd = `a\u0000b\u0001a'"\\ü😀`;
      const answers = await Promise.all([
        ask({ ...usd(10), values: { agent: [odd] }, run: odd, key: odd }),
        ask(usd(10)),
      ]);
      expect(permits(answers)).toBe(2);
      expect((await ask({ ...usd(91), values: { agent: [odd] } })).reason).toBe("budget_held");
    }),
  );

  test(
    "a budget can't change what it counts under its id",
    inWorld(backend, [budgetOf("agent-usd")], async (_world, { store }) => {
      expect(await store.takeBook([budgetOf("agent-usd", { unit: "tokens" })])).toMatchObject([
        { budget: "agent-usd" },
      ]);
      expect(await store.takeBook([budgetOf("agent-usd", { limit: 7 })])).toEqual([]);
    }),
  );

  test(
    "a threshold is told of once",
    inWorld(backend, [budgetOf("agent-usd", { alerts: [50] })], async (_world, { ask, settle, alerts }) => {
      await settle((await ask(usd(50))).hold, { usd_micros: 50 });
      await settle((await ask(usd(10))).hold, { usd_micros: 10 });
      expect(alerts.map(({ type }) => type)).toEqual(["budget.threshold"]);
    }),
  );
};
