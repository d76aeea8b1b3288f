/** What every store must do with old entries: only what was exported and nobody holds becomes a hash, and all of it still verifies. */
import { expect, test } from "vitest";
import { uuidv7 } from "../../kit/id.ts";
import type { LegalHold, PruneCommand } from "../../ledger/store.ts";
import { type Ask, budgetOf, hour, minute, morning } from "./questions.ts";
import { type Asker, type Backend, createWorld, valueOf, type World } from "./store.ts";

const withWorld = async (backend: Backend, use: (world: World, asker: Asker) => Promise<void>) => {
  const budgets = [budgetOf("people", { per: ["user"], limit: 1_000_000 })];
  const world = await createWorld(backend, budgets);
  try {
    const asker = await world.asker();
    await use(world, asker);
  } finally {
    await world.end();
  }
};

/** A store that others share must not keep them waiting for long, however slow the machine. */
const batchMax = 100;

/** Questions of persons, each in a run of its own; most hold something. */
const askMany = async (asker: Asker, from: number, to: number): Promise<void> => {
  for (let at = from; at < to; at += batchMax) await askSome(asker, at, Math.min(to, at + batchMax));
};

const askSome = async (asker: Asker, from: number, to: number): Promise<void> => {
  const asks = Array.from({ length: to - from }, (_, n): Ask => ({
    amounts: { usd_micros: 1 + (n % 7) },
    values: { user: [`person-${(from + n) % 5}`] },
    run: `run-${from + n}`,
  }));
  const answers = await asker.batch(asks);
  expect(answers.every(({ decision }) => decision)).toBe(true);
  for (const { hold } of answers.slice(0, 5)) await asker.settle(hold, { usd_micros: 1 });
};

const who = (world: World) => ({ id: uuidv7(world.now), at: world.now, caller: "admin" });

const exported = async (world: World, { store }: Asker, first: number, count: number): Promise<unknown> =>
  valueOf(
    await store.perform({
      kind: "exported",
      command: { ...who(world), first, count, digest: `sha256:${"0".repeat(64)}` },
    }),
  );

type Wanted = { before: number } | { beforeAt: number };

const pruning = (world: World, wanted: Wanted, asFarAsMayBe = false): PruneCommand => ({
  ...who(world),
  asFarAsMayBe,
  ...wanted,
});

const testBounds = (backend: Backend): void => {
  test("what wasn't signed, wasn't exported or is held is not pruned, and said to be why", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      await askMany(asker, 0, 300);
      expect(await store.prune(pruning(world, { before: 256 }))).toMatchObject({ entries: 0, more: false });
      await store.checkpoint(world.now);
      await expect(store.prune(pruning(world, { before: 256 }))).rejects.toThrow(
        /entries 0 to 255 were not exported/,
      );
      await exported(world, asker, 0, 300);
      const add = { ...who(world), action: "add" as const, agent: "leaf", reason: "an audit" };
      const hold = valueOf(await store.perform({ kind: "legal_hold", command: add })) as LegalHold;
      await expect(store.prune(pruning(world, { before: 256 }))).rejects.toThrow(
        new RegExp(`entry 0 is under the legal hold .${hold.id}`),
      );
      expect(await store.prune(pruning(world, { before: 256 }, true))).toMatchObject({ entries: 0 });
      expect(await store.closing()).toBeUndefined();
      expect((await store.entries({ order: "asc", limit: 1 })).entries[0]?.index).toBe(0);
      const lift = { ...who(world), action: "lift" as const, reason: "done", hold: hold.id };
      valueOf(await store.perform({ kind: "legal_hold", command: lift }));
      expect(await store.prune(pruning(world, { before: 256 }))).toMatchObject({ entries: 256 });
    }));

  test("entries before an instant are pruned, as far as may be", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      await askMany(asker, 0, 520);
      world.now = morning + hour;
      await askMany(asker, 520, 1000);
      await store.checkpoint(world.now);
      await exported(world, asker, 0, 900);
      const wanted = { beforeAt: morning + minute };
      expect(await store.prune(pruning(world, wanted, true))).toMatchObject({ before: 512, entries: 512 });
      expect(await store.prune(pruning(world, wanted, true))).toMatchObject({ before: 512, entries: 0 });
      expect(await world.verify(asker)).toBeGreaterThan(1000);
    }));
};

const testOrder = (backend: Backend): void => {
  test("nothing that is dated later is pruned, however far entries are out of the order of time", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      world.now = morning + 2 * hour;
      await askMany(asker, 0, 250);
      world.now = morning;
      await askMany(asker, 250, 600);
      world.now = morning + hour;
      await askMany(asker, 600, 700);
      await store.checkpoint(world.now);
      await exported(world, asker, 0, 700);
      const wanted = { beforeAt: morning + minute };
      expect(await store.prune(pruning(world, wanted, true))).toMatchObject({ before: 0, entries: 0 });
    }));
};

const testLeft = (backend: Backend): void => {
  test("what is left verifies, proves what was pruned, and says that it was", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      await askMany(asker, 0, 300);
      await store.checkpoint(world.now);
      const shown = (await store.entry(7))!;
      const proved = await store.inclusion(7);
      const balances = await store.accounts("people", world.now, 9);
      await exported(world, asker, 0, 300);
      const pruned = await store.prune(pruning(world, { before: 300 }));
      expect(pruned).toMatchObject({ before: 256, entries: 256, more: false });
      expect(await store.entry(pruned.index!)).toMatchObject({
        entry: { kind: "retention.prune" },
      });
      await world.verify(asker);
      expect(await store.auditBalances()).toEqual([]);
      expect(await store.accounts("people", world.now, 9)).toEqual(balances);
      const closing = (await store.closing())!;
      expect(closing).toMatchObject({ before: 256, latest: world.now });
      expect(closing.balances.reduce((sum, { used, held }) => sum + used + held, 0)).toBeGreaterThan(0);

      for (const ref of [7, shown.entry.id]) await expect(store.entry(ref)).rejects.toThrow(/was pruned/);
      expect(await store.entry(999_999)).toBeUndefined();
      const page = await store.entries({ order: "asc", limit: 1 });
      expect([page.prunedBefore, page.entries[0]?.index]).toEqual([256, 256]);
      await expect(store.tile({ level: "entries", index: 0, width: 256 })).rejects.toThrow(/were pruned/);
      const again = await store.inclusion(7);
      expect(again.leafHash).toEqual(proved.leafHash);
      expect((await store.consistency(100, 300)).length).toBeGreaterThan(0);
      // What stood for a run in pruned entries alone is forgotten.
      const found = async (run: string): Promise<number> =>
        (await store.entries({ order: "asc", limit: 9, run })).entries.length;
      expect([await found("run-3"), await found("run-290")]).toEqual([0, 1]);
    }));

  test("the ledger grows on, is opened again, and is pruned again", () =>
    withWorld(backend, async (world, first) => {
      await askMany(first, 0, 100);
      await askMany(first, 100, 300);
      await first.store.checkpoint(world.now);
      await exported(world, first, 0, 300);
      await first.store.prune(pruning(world, { before: 256 }));
      await first.close();
      const asker = await world.asker();
      const { store } = asker;
      world.now += hour;
      await askMany(asker, 300, 600);
      await store.checkpoint(world.now);
      await exported(world, asker, 256, 300);
      expect(await store.prune(pruning(world, { before: 512 }))).toMatchObject({ before: 512, entries: 256 });
      await world.verify(asker);
      expect(await store.auditBalances()).toEqual([]);
      expect((await store.closing())?.before).toBe(512);
    }));
};

export const testRetention = (backend: Backend): void => {
  testBounds(backend);
  testOrder(backend);
  testLeft(backend);
};
