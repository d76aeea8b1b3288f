/** What every store must do with agents that are stopped: no permit comes after the stopping. */
import { expect, test } from "vitest";
import type { KillCommand } from "../../agent/store.ts";
import { uuidv7 } from "../../kit/id.ts";
import { type Ask, budgetOf } from "./questions.ts";
import { type Asker, type Backend, createWorld, valueOf } from "./store.ts";

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });
const leaf = { type: "Agent", id: "leaf", personal: false };

type Stop = Extract<KillCommand, { verb: "kill" }>;

const stop = async ({ store, command }: Asker, parts: Partial<Stop> = {}): Promise<string> => {
  const kill: Stop = {
    ...command(),
    verb: "kill",
    target: { kind: "agent", value: "leaf" },
    action: "suspend",
    holds: "keep",
    reason: "it ran away",
    agents: [leaf],
    ownerType: "",
    ...parts,
  };
  valueOf(await store.perform({ kind: "kill", command: kill }));
  return kill.id;
};

/** The tests of stopping, for a store. */
export const testAgents = (backend: Backend): void => {
  test("who is stopped is denied from the next question on, until the stopping is lifted", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd")]);
    try {
      const asker = await world.asker();
      expect((await asker.ask(usd(1))).decision).toBe(true);
      const kill = await stop(asker);
      expect(await asker.ask(usd(1))).toMatchObject({ decision: false, reason: "agent_suspended" });
      expect((await asker.ask({ ...usd(1), values: { agent: ["other"] } })).decision).toBe(true);
      const lift = {
        ...asker.command(),
        id: uuidv7(world.now),
        verb: "lift" as const,
        kill,
        reason: "mended",
      };
      valueOf(await asker.store.perform({ kind: "kill", command: lift }));
      expect((await asker.ask(usd(1))).decision).toBe(true);
      await world.verify(asker);
    } finally {
      await world.end();
    }
  });

  test("in one commit what comes before a stopping is permitted and what comes after is denied", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd")]);
    try {
      const asker = await world.asker();
      const [before, , after] = await Promise.all([asker.ask(usd(1)), stop(asker), asker.ask(usd(1))]);
      expect([before.decision, after.decision]).toEqual([true, false]);
    } finally {
      await world.end();
    }
  });

  test("the holds of who is stopped are released as chosen", async () => {
    const world = await createWorld(backend, [budgetOf("all-usd", { per: [] })]);
    try {
      const asker = await world.asker();
      expect((await asker.ask(usd(100))).decision).toBe(true);
      await stop(asker, { holds: "release" });
      expect((await asker.ask({ ...usd(100), values: { agent: ["other"] } })).decision).toBe(true);
      await world.verify(asker);
    } finally {
      await world.end();
    }
  });

  test("holds of an agent with whatever name don't stand in the way of stopping it, or another", async () => {
    const world = await createWorld(backend, [budgetOf("all-usd", { per: [] })]);
    try {
      const asker = await world.asker();
      const odd = "le\u0000\u0001af";
      expect((await asker.ask({ ...usd(40), values: { agent: [odd] } })).decision).toBe(true);
      expect((await asker.ask(usd(40))).decision).toBe(true);
      await stop(asker, { holds: "release" });
      const named = { ...leaf, id: odd };
      await stop(asker, {
        holds: "release",
        target: { kind: "agent", value: odd },
        agents: [named],
        ...{ id: uuidv7(world.now + 1) },
      });
      expect((await asker.ask({ ...usd(100), values: { agent: ["other"] } })).decision).toBe(true);
      expect(await asker.store.auditBalances()).toEqual([]);
    } finally {
      await world.end();
    }
  });

  test("who is revoked stays so, whatever is said afterwards", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd")]);
    try {
      const asker = await world.asker();
      const kill = await stop(asker, { action: "revoke" });
      const lift = {
        ...asker.command(),
        id: uuidv7(world.now),
        verb: "lift" as const,
        kill,
        reason: "mended",
      };
      valueOf(await asker.store.perform({ kind: "kill", command: lift }));
      expect((await asker.ask(usd(1))).reason).toBe("agent_revoked");
    } finally {
      await world.end();
    }
  });
};
