/** What a store that several processes share must do: they are one ledger. */
import { expect, test } from "vitest";
import type { Sink } from "../../alert/sink.ts";
import { type Ask, budgetOf, minute } from "./questions.ts";
import { type Asker, type Backend, createWorld, valueOf, type World } from "./store.ts";

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });

const askers = (world: World, count: number): Promise<Asker[]> =>
  Promise.all(Array.from({ length: count }, () => world.asker()));

/** The tests of sharing, for a store that can be. */
export const testSharing = (backend: Backend): void => {
  test("however many ask by however many ways at once, nothing is overspent and no entry is missing", async () => {
    const world = await createWorld(backend, [
      budgetOf("agent-usd", { limit: 400 }),
      budgetOf("all-usd", { limit: 1000, per: [] }),
    ]);
    try {
      const four = await askers(world, 4);
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          four[n % 4]!.ask({ ...usd(10), values: { agent: [`agent-${n % 3}`] } }),
        ),
      );
      const permitted = answers.filter(({ decision }) => decision);
      // All agents together may have 100, each of three 40.
      expect(permitted).toHaveLength(100);
      await Promise.all(permitted.map(({ hold }, n) => four[(n + 1) % 4]!.settle(hold, { usd_micros: 5 })));
      expect(await world.verify(four[0]!)).toBe(300);
      const more = await Promise.all(
        Array.from({ length: 100 }, (_, n) =>
          four[n % 4]!.ask({ ...usd(10), values: { agent: [`agent-${n % 3}`] } }),
        ),
      );
      expect(more.filter(({ decision }) => decision)).toHaveLength(50);
    } finally {
      await world.end();
    }
  });

  test("a key is answered alike by all, also when it is asked of all at once", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd")]);
    try {
      const four = await askers(world, 4);
      const answers = await Promise.all(four.map(({ ask }) => ask({ ...usd(60), key: "k" })));
      expect(new Set(answers.map(({ hold }) => hold)).size).toBe(1);
      expect((await four[3]!.ask(usd(41))).decision).toBe(false);
    } finally {
      await world.end();
    }
  });

  test("nobody permits after another has stopped the agent", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd", { limit: 1_000_000 })]);
    try {
      const [one, other] = (await askers(world, 2)) as [Asker, Asker];
      const stopped = { at: 0 };
      const late: boolean[] = [];
      const asking = async (): Promise<void> => {
        for (let n = 0; n < 40; n++) {
          const askedAfter = stopped.at > 0;
          const { decision } = await other.ask(usd(1));
          if (askedAfter) late.push(decision);
        }
      };
      const stopping = async (): Promise<void> => {
        await one.ask(usd(1));
        const target = { kind: "agent" as const, value: "leaf" };
        const agents = [{ type: "Agent", id: "leaf", personal: false }];
        const action = "suspend" as const;
        const words = { holds: "keep" as const, reason: "enough", ownerType: "" };
        const kill = { ...one.command(), verb: "kill" as const, target, action, agents, ...words };
        valueOf(await one.store.perform({ kind: "kill", command: kill }));
        stopped.at = 1;
      };
      await Promise.all([asking(), stopping()]);
      late.push((await other.ask(usd(1))).decision);
      expect(late).not.toContain(true);
    } finally {
      await world.end();
    }
  });

  test("what one has taken to deliver isn't another's until its time is over, and no cursor goes back", async () => {
    const sink: Sink = {
      name: "pager",
      url: "https://pager.example",
      format: "webhook",
      allowPrivate: false,
      types: ["budget.threshold"],
    };
    const world = await createWorld(backend, [budgetOf("agent-usd", { alerts: [50] })], [sink]);
    try {
      const [one, other] = (await askers(world, 2)) as [Asker, Asker];
      await one.settle((await one.ask(usd(60))).hold, { usd_micros: 60 });
      const due = (asker: Asker, now: number) => asker.store.dueAlerts({ sink: "pager", now, limit: 10 });
      const taken = await Promise.all([due(one, world.now), due(other, world.now)]);
      expect(taken.flat()).toHaveLength(1);
      expect(await due(other, world.now + minute / 2)).toEqual([]);
      expect(await due(other, world.now + minute)).toHaveLength(1);
      await one.store.moveStreamCursor("siem", 5);
      await other.store.moveStreamCursor("siem", 3);
      expect(await one.store.streamCursor("siem")).toBe(5);
    } finally {
      await world.end();
    }
  });

  test("entities are read as they stood at the digest that is told with them, whoever changes them meanwhile", async () => {
    const world = await createWorld(backend, [budgetOf("agent-usd")]);
    try {
      const [one, other] = (await askers(world, 2)) as [Asker, Asker];
      const bodies = new Map<unknown, string | undefined>([["", undefined]]);
      const read: { digest: string; body: string | undefined }[] = [];
      let changing = true;
      const changeAll = async (): Promise<void> => {
        for (let n = 0; n < 150; n++) {
          const body = `{"attrs":{"n":${n}},"parents":[],"tags":{}}`;
          const changes = [{ uid: { type: "Doc", id: "d" }, personal: false, body }];
          const command = { ...one.command(), verb: "change" as const, changes };
          bodies.set(valueOf(await one.store.perform({ kind: "entity", command })), body);
        }
        changing = false;
      };
      const readAll = async (): Promise<void> => {
        while (changing) {
          const { digest, entities } = await other.store.keptEntities();
          read.push({ digest, body: entities[0]?.body });
        }
      };
      await Promise.all([changeAll(), readAll(), readAll()]);
      expect(read.length).toBeGreaterThan(10);
      expect(read.filter(({ digest, body }) => bodies.get(digest) !== body)).toEqual([]);
    } finally {
      await world.end();
    }
  });
};
