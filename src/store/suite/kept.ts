/** What every store must do with what is kept beside decisions: callers, entities, proofs, outcomes, files in force. */
import { expect, test } from "vitest";
import type { Caller } from "../../identity/caller.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { Activated, ActivationCommand } from "../../policy/store.ts";
import type { CommonCommand } from "../acts/perform.ts";
import { type Ask, budgetOf, day, hour, minute } from "./questions.ts";
import { type Asker, type Backend, createWorld, valueOf, type World } from "./store.ts";

const usd = (amount: number): Ask => ({ amounts: { usd_micros: amount } });

const callerNamed = (name: string, keyHash: string): Caller => ({
  name,
  keyHash,
  scopes: ["evaluate"],
  detail: "plain",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
});

const withWorld = async (backend: Backend, use: (world: World, asker: Asker) => Promise<void>) => {
  const world = await createWorld(backend, [budgetOf("agent-usd")]);
  try {
    const asker = await world.asker();
    await use(world, asker);
    await world.verify(asker);
  } finally {
    await world.end();
  }
};

const doing =
  ({ store }: Asker) =>
  async (command: CommonCommand): Promise<unknown> =>
    valueOf(await store.perform(command));

/** Files that come into force, by a name that stands for what is in them. */
const filesNamed = (world: World, name: string, command?: ActivationCommand): Activated => ({
  at: world.now,
  bundle: { digest: `bundle-${name}`, files: { "policies/a.cedar": `// ${name}`, "remit.json": "{}" } },
  policySet: { digest: `set-${name}`, body: `{"name":"${name}"}` },
  contents: { policies: { a: name }, schema: {}, budgets: { b: name }, prices: {}, entities: {} },
  ...(command ? { command } : {}),
});

const commandOf = (world: World, verb: ActivationCommand["verb"], from?: string): ActivationCommand => ({
  id: uuidv7(world.now),
  at: world.now,
  caller: "admin",
  verb,
  reason: "better",
  ...(from === undefined ? {} : { from }),
});

const testCallers = (backend: Backend): void => {
  test("a caller is added once, by name and by key, and who is revoked stays so", () =>
    withWorld(backend, async (_world, asker) => {
      const act = doing(asker);
      const add = (name: string, key: string): Promise<unknown> =>
        act({ kind: "caller", command: { ...asker.command(), verb: "add", added: callerNamed(name, key) } });
      const revoke = (name: string): Promise<unknown> =>
        act({ kind: "caller", command: { ...asker.command(), verb: "revoke", name } });
      await add("one", "sha256:1");
      await expect(add("one", "sha256:2")).rejects.toThrow("conflict");
      await expect(add("two", "sha256:1")).rejects.toThrow("conflict");
      await expect(revoke("nobody")).rejects.toThrow("not_found");
      await revoke("one");
      await revoke("one");
      await expect(add("one", "sha256:3")).rejects.toThrow("conflict");
      await add("a-first", "sha256:4");
      const callers = await asker.store.callers();
      expect(callers.map(({ name }) => name)).toEqual(["a-first", "one"]);
      expect(callers[1]!.revokedAt).toBeDefined();
      const { entries } = await asker.store.entries({ order: "asc", limit: 10 });
      expect(entries.map(({ kind }) => kind)).toEqual(["caller.add", "caller.revoke", "caller.add"]);
    }));
};

const testEntities = (backend: Backend): void => {
  test("entities are put in, changed and taken out with an entry each, and read back in order, page by page", () =>
    withWorld(backend, async (_world, asker) => {
      const act = doing(asker);
      const uid = (id: string) => ({ type: "Website", id });
      const change = (id: string, body?: string) => ({
        uid: uid(id),
        personal: false,
        ...(body === undefined ? {} : { body }),
      });
      const ids = Array.from({ length: 2100 }, (_, n) => `w-${String(n).padStart(5, "0")}`);
      const imported = ids.map((id) => change(id, `{"attrs":{"id":"${id}"}}`));
      await act({ kind: "entity", command: { ...asker.command(), verb: "import", changes: imported } });
      const before = (await asker.store.keptEntities()).digest;
      // U+0000 and what stands for it are ids like others, and ids are in the order of their bytes.
      const odd = ["a\u0000b", "a\u0001b", "Z", "z", "é"];
      for (const id of odd)
        await act({
          kind: "entity",
          command: { ...asker.command(), verb: "put", changes: [change(id, "{}")] },
        });
      await act({
        kind: "entity",
        command: { ...asker.command(), verb: "delete", changes: [change("w-00000")] },
      });
      const first = await asker.store.keptEntities();
      const second = await asker.store.keptEntities(first.next);
      const kept = [...first.entities, ...second.entities];
      expect(second.next).toBeUndefined();
      expect(kept.map((entity) => entity.uid.id)).toEqual([...ids.slice(1), ...odd].toSorted());
      expect(kept.find((entity) => entity.uid.id === "w-00007")!.body).toBe('{"attrs":{"id":"w-00007"}}');
      expect(second.digest).not.toBe(before);
      const { entries } = await asker.store.entries({ order: "desc", limit: 1 });
      expect(entries[0]!.facts!["digest"]).toBe(second.digest);
    }));
};

const testProofs = (backend: Backend): void => {
  test("a proof is fresh once, or again for what it was shown for", () =>
    withWorld(backend, async (world, asker) => {
      const act = doing(asker);
      const show = (jti: string, purpose?: string): Promise<unknown> =>
        act({
          kind: "proof",
          command: {
            key: "k",
            jti,
            until: world.now + minute,
            at: world.now,
            ...(purpose === undefined ? {} : { purpose }),
          },
        });
      expect(await show("1")).toBe("fresh");
      expect(await show("1")).toBe("replayed");
      expect(await show("2", "p")).toBe("fresh");
      expect(await show("2", "p")).toBe("fresh");
      expect(await show("2", "q")).toBe("replayed");
      expect(await Promise.all([show("3"), show("3"), show("3")])).toEqual(["fresh", "replayed", "replayed"]);
    }));
};

const testOutcomes = (backend: Backend): void => {
  test("an outcome is reported once of what was permitted, by whoever asked", () =>
    withWorld(backend, async (_world, asker) => {
      const act = doing(asker);
      const report = (decision: string, parts: object = {}): Promise<unknown> =>
        act({
          kind: "outcome",
          command: {
            ...asker.command(),
            decision,
            outcome: "succeeded",
            obligations: [],
            fingerprint: "f",
            ...parts,
          },
        });
      const permitted = await asker.ask(usd(1));
      const denied = await asker.ask(usd(1000));
      expect(await report(permitted.id)).toMatchObject({ index: 2, duplicate: false });
      expect(await report(permitted.id)).toMatchObject({ index: 2, duplicate: true });
      await expect(report(permitted.id, { fingerprint: "other" })).rejects.toThrow("conflict");
      await expect(report(denied.id)).rejects.toThrow("conflict");
      await expect(report(permitted.id, { caller: "somebody" })).rejects.toThrow("not_found");
      await expect(report("no-decision")).rejects.toThrow("not_found");
      const { entries } = await asker.store.entries({ of: permitted.id, order: "asc", limit: 10 });
      expect(entries.map(({ kind }) => kind)).toEqual(["outcome"]);
    }));
};

const testLedgerActs = (backend: Backend): void => {
  test("legal holds are placed and lifted, exports noted, heads logged when they are due", () =>
    withWorld(backend, async (world, asker) => {
      const act = doing(asker);
      await asker.ask(usd(1));
      const held = (await act({
        kind: "legal_hold",
        command: { ...asker.command(), action: "add", agent: "leaf", reason: "a case" },
      })) as { id: string };
      const lift = { ...asker.command(), action: "lift" as const, hold: held.id, reason: "closed" };
      await act({ kind: "legal_hold", command: lift });
      await expect(act({ kind: "legal_hold", command: lift })).rejects.toThrow("conflict");
      expect(await asker.store.legalHolds()).toMatchObject([
        { id: held.id, agent: "leaf", reason: "a case", lifted: { reason: "closed" } },
      ]);
      const exported = { ...asker.command(), first: 0, count: 2, digest: "sha256:x" };
      expect(await act({ kind: "exported", command: exported })).toBe(3);
      await expect(
        act({ kind: "exported", command: { ...exported, id: uuidv7(world.now), count: 9 } }),
      ).rejects.toThrow("invalid_request");
      expect(await asker.store.headsDue(world.now + hour, hour)).toBe(true);
      expect(await asker.store.headsDue(world.now + minute, hour)).toBe(false);
      const taken = await act({ kind: "heads", command: { ...asker.command(), agent: "leaf" } });
      expect(taken).toMatchObject({ index: 4, key: "agent:leaf" });
      expect(await asker.store.headsDue(world.now + day, hour)).toBe(false);
      const trip = { at: world.now, mode: "compiled", policySet: "set", file: "f", body: "{}" };
      await asker.store.tripEngine(trip);
      const { entries } = await asker.store.entries({ kind: "engine_tripped", order: "asc", limit: 10 });
      expect(entries).toHaveLength(1);
      expect(asker.alerts.map(({ type }) => type)).toEqual(["engine.mismatch"]);
    }));
};

const testFiles = (backend: Backend): void => {
  test("files come into force with an entry that says what they change, and are kept to go back to", () =>
    withWorld(backend, async (world, asker) => {
      const { store } = asker;
      const budgets = [budgetOf("agent-usd")];
      expect(await store.activate(filesNamed(world, "a"), budgets)).toEqual([]);
      // What decided before is no news.
      await store.activate(filesNamed(world, "a"), budgets);
      expect(await store.standing()).toMatchObject({ pinned: false, last: { digest: "bundle-a" } });
      await store.activate(filesNamed(world, "b", commandOf(world, "promote", "bundle-a")), budgets);
      await expect(
        store.activate(filesNamed(world, "c", commandOf(world, "promote", "bundle-a")), budgets),
      ).rejects.toThrow("other policies came into force");
      expect(await store.standing()).toMatchObject({ pinned: true, last: { digest: "bundle-b" } });
      expect((await store.keptFiles("set-a"))!.files["policies/a.cedar"]).toBe("// a");
      expect((await store.keptFiles("bundle-b"))!.digest).toBe("bundle-b");
      expect(await store.keptFiles("none")).toBeUndefined();
      expect(await store.policySet("set-b")).toBe('{"name":"b"}');
      expect(await store.activations()).toMatchObject([
        { verb: "promote", bundle: "bundle-b", by: "admin", reason: "better", kept: true },
        { verb: "load", bundle: "bundle-a", by: "remit", kept: true },
      ]);
      const other = [budgetOf("agent-usd", { unit: "tokens" })];
      expect(await store.activate(filesNamed(world, "d"), other)).toMatchObject([{ budget: "agent-usd" }]);
      const { entries } = await store.entries({ order: "asc", limit: 10 });
      expect(entries.map(({ kind }) => kind)).toEqual(["policy.load", "policy.promote", "budget.change"]);
      expect(entries[1]!.facts).toMatchObject({
        differs: ["policies", "budgets"],
        policies: { changed: ["a"] },
      });
    }));

  test("of files that were only loaded the newest twenty are kept", () =>
    withWorld(backend, async (world, asker) => {
      for (let n = 0; n < 23; n++)
        await asker.store.activate(filesNamed(world, String(n)), [budgetOf("agent-usd")]);
      const kept = (await asker.store.activations()).filter((one) => one.kept);
      expect(kept.map(({ bundle }) => bundle)).toEqual(
        Array.from({ length: 20 }, (_, n) => `bundle-${22 - n}`),
      );
      expect(await asker.store.keptFiles("bundle-2")).toBeUndefined();
      expect((await asker.store.keptFiles("bundle-3"))!.files["policies/a.cedar"]).toBe("// 3");
    }));
};

/** The tests of what is kept, for a store. */
export const testKept = (backend: Backend): void => {
  testCallers(backend);
  testEntities(backend);
  testProofs(backend);
  testOutcomes(backend);
  testLedgerActs(backend);
  testFiles(backend);
};
