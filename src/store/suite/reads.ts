/** What every store must tell of itself: balances, usage, trials, proofs, alerts, agents. */
import { expect, test } from "vitest";
import type { Sink } from "../../alert/sink.ts";
import { uuidv7 } from "../../kit/id.ts";
import { leafHash } from "../../ledger/entry.ts";
import { type Ask, budgetOf, day, factsOf, minute, noPrices } from "./questions.ts";
import { type Asker, type Backend, createWorld, valueOf, type World } from "./store.ts";

const usd = (amount: number, agent = "leaf"): Ask => ({
  amounts: { usd_micros: amount },
  values: { agent: [agent], user: ["ann"] },
});

const pager: Sink = {
  name: "pager",
  url: "https://pager.example",
  format: "webhook",
  allowPrivate: false,
  types: ["budget.threshold"],
};

const withWorld = async (
  backend: Backend,
  use: (world: World, asker: Asker) => Promise<void>,
  budget: Parameters<typeof budgetOf>[1] = {},
): Promise<void> => {
  const world = await createWorld(backend, [budgetOf("agent-usd", budget)], [pager]);
  try {
    const asker = await world.asker();
    await use(world, asker);
    await world.verify(asker);
    expect(await asker.store.auditBalances()).toEqual([]);
  } finally {
    await world.end();
  }
};

const testBalances = (backend: Backend): void => {
  test("accounts are listed with grants and holds, usage by whose it is, and all of it agrees with the entries", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      const { hold } = await asker.ask(usd(10));
      await asker.settle(hold, { usd_micros: 7 });
      await asker.ask(usd(20));
      await asker.ask(usd(5, "other"));
      const grant = {
        ...asker.command(),
        admin: true,
        budget: "agent-usd",
        account: "agent:leaf",
        amount: 50,
        from: world.now,
        until: world.now + day,
        reason: "a busy day",
      };
      valueOf(await store.perform({ kind: "grant", command: grant }));
      const accounts = await store.accounts("agent-usd", world.now, 10);
      expect(accounts).toMatchObject([
        { account: "agent:leaf", limit: 150, granted: 50, used: 7, held: 20, remaining: 123 },
        { account: "agent:other", limit: 100, granted: 0, used: 0, held: 5, remaining: 95 },
      ]);
      expect(await store.accounts("agent-usd", world.now, 1)).toEqual(accounts.slice(0, 1));
      expect(await store.accounts("agent-usd", world.now, 9, "agent:leaf")).toEqual(accounts.slice(1));
      await expect(store.accounts("none", world.now, 1)).rejects.toThrow("there is no budget");
      expect(await store.grants("agent-usd")).toMatchObject([
        { id: grant.id, account: "agent:leaf", amount: 50, by: "pep" },
      ]);
      expect(await store.usage({ groupBy: ["agent", "user", "day"] })).toEqual([
        { group: { agent: "leaf", user: "ann", day: "2026-11-24" }, unit: "usd_micros", amount: 7 },
      ]);
      expect(await store.usage({ groupBy: [], from: world.now + 1 })).toEqual([]);
      // Names of accounts stand for persons in entries, and are told as they are.
      const { entries } = await store.entries({ kind: "hold.settle", order: "asc", limit: 10 });
      expect(entries[0]!.moves).toMatchObject([{ account: "agent:leaf", used: 7, held: -10 }]);
      const figures = await store.figures(world.now);
      expect(figures).toMatchObject({ entries: 5, holdsOpen: 2 });
      expect(figures.budgets).toEqual([
        { budget: "agent-usd", unit: "usd_micros", accounts: 2, exhausted: 0, limit: 150, remaining: 123 },
      ]);
    }));

  test("what is tried out is answered as it would be decided, and changes nothing", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      await asker.ask(usd(90));
      const facts = (amount: number): string =>
        JSON.stringify(factsOf([budgetOf("agent-usd")], noPrices, world.now, usd(amount)));
      const verdicts = await store.tryOut([facts(10), facts(11), facts(10)]);
      expect(verdicts.map(({ decision }) => decision)).toEqual([true, false, true]);
      const decided = await store.tryAct({ at: world.now, facts: [facts(6), facts(6)] });
      expect(decided).toMatchObject([{ verdict: { decision: true } }, { verdict: { decision: false } }]);
      expect(await store.balancesOf(facts(1))).toMatchObject([{ account: "agent:leaf", used: 0, held: 90 }]);
      expect((await store.entries({ order: "asc", limit: 10 })).entries).toHaveLength(1);
    }));
};

const testLedger = (backend: Backend): void => {
  test("what the ledger holds is proved of its newest checkpoint, and asked further is refused", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      for (let n = 0; n < 5; n++) await asker.ask(usd(1));
      const checkpoint = await store.checkpoint(world.now);
      const proof = await store.inclusion(3);
      const { entry } = (await store.entry(3))!;
      expect(proof).toMatchObject({ index: 3, size: 5, checkpoint });
      expect(Buffer.from(proof.leafHash).toString("base64url")).toBe(entry.leaf_hash);
      expect(Buffer.from(proof.leafHash)).not.toEqual(Buffer.from(leafHash(Buffer.from("other"))));
      expect(await store.consistency(2, 5)).not.toHaveLength(0);
      await expect(store.inclusion(5)).rejects.toThrow("newest checkpoint is of 5");
      await expect(store.consistency(1, 6)).rejects.toThrow("newest checkpoint is of 5");
      await expect(store.consistency(0, 5)).rejects.toThrow("from must be");
      expect(await store.writable()).toEqual({ ok: true });
      expect(await store.streamCursor("siem")).toBeUndefined();
      await store.moveStreamCursor("siem", 3);
      await store.moveStreamCursor("siem", 4);
      expect(await store.streamCursor("siem")).toBe(4);
    }));

  test("alerts go to sinks once, are taken, put off, given up and revived", () =>
    withWorld(
      backend,
      async (world, asker) => {
        const { store } = asker;
        await asker.settle((await asker.ask(usd(60))).hold, { usd_micros: 60 });
        const [due] = await store.dueAlerts({ sink: "pager", now: world.now, limit: 10 });
        expect(due).toMatchObject({ sink: "pager", attempts: 0 });
        expect(await store.pendingSinks()).toEqual(["pager"]);
        const key = { id: due!.id, sink: "pager" };
        await store.alertFailed({ ...key, attempts: 1, nextAt: world.now + minute, error: "down" });
        expect(await store.dueAlerts({ sink: "pager", now: world.now, limit: 10 })).toEqual([]);
        await store.alertDead({ ...key, attempts: 2, at: world.now, error: "still down" });
        expect(await store.alerts({ sink: "pager", state: "dead", limit: 10 })).toMatchObject({
          alerts: [{ id: due!.id, deliveries: [{ sink: "pager", attempts: 2, error: "still down" }] }],
        });
        expect(await store.reviveAlerts({ sink: "pager", at: world.now })).toBe(1);
        const again = await store.dueAlerts({ sink: "pager", now: world.now, limit: 10 });
        expect(again).toMatchObject([{ id: due!.id, attempts: 0 }]);
        await store.alertDelivered({ ...key, at: world.now });
        const { alerts, next } = await store.alerts({ type: "budget.threshold", limit: 1 });
        expect(alerts[0]!.deliveries).toMatchObject([{ state: "delivered" }]);
        expect(next).toBeUndefined();
        expect((await store.figures(world.now)).outbox).toEqual([]);
      },
      { alerts: [50] },
    ));
};

const testRegistry = (backend: Backend): void => {
  test("agents, their keys, delegations and stoppings are listed as they stand", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      const agent = { type: "Agent", id: "leaf", personal: false };
      const at = world.now;
      const added = {
        ...asker.command(),
        agent,
        verb: "add_key" as const,
        keyHash: "hash-1",
        name: "laptop",
      };
      valueOf(await store.perform({ kind: "agent_key", command: added }));
      expect(await store.agentKeys("leaf")).toHaveLength(1);
      expect(await store.agentOfKey("hash-1", at)).toBe("leaf");
      expect(await store.agentOfKey("hash-2", at)).toBeUndefined();
      const { hold } = await asker.ask(usd(1));
      expect(await store.agentsOfHold(hold)).toEqual(["leaf"]);
      const kill = {
        ...asker.command(),
        id: uuidv7(world.now),
        verb: "kill" as const,
        target: { kind: "agent" as const, value: "leaf" },
        action: "suspend" as const,
        holds: "keep" as const,
        reason: "it ran away",
        agents: [agent],
        ownerType: "",
      };
      valueOf(await store.perform({ kind: "kill", command: kill }));
      expect(await store.kills()).toMatchObject([{ id: kill.id, reason: "it ran away" }]);
      expect(await store.standingKills()).toHaveLength(1);
      expect(await store.keptAgents()).toEqual({ registrations: [], words: [] });
      expect(await store.delegations({ delegate: "leaf" })).toEqual([]);
    }));
};

/** The tests of what is read, for a store. */
export const testReads = (backend: Backend): void => {
  testBalances(backend);
  testLedger(backend);
  testRegistry(backend);
};
