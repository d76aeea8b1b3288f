/** No proof counts twice, whatever comes in between; and nothing grows without bound. */
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tempDir } from "../../conformance-tests/service.ts";
import { type Ledger, openLedger } from "../store/sqlite/ledger.ts";
import { openDatabase } from "../store/sqlite/open.ts";
import { createReplayMemory, createReplays, type Proof } from "./replays.ts";
import type { ProofStore } from "./store.ts";

const proof = (jti: string, more: Partial<Proof> = {}): Proof => ({ key: "k", jti, until: 1000, ...more });

test("a proof counts once, for each key", () => {
  const seen = createReplayMemory();
  expect(seen(proof("a"), 0)).toBe("fresh");
  expect(seen(proof("a"), 999)).toBe("replayed");
  expect(seen(proof("a", { key: "other" }), 0)).toBe("fresh");
  expect(seen(proof("b"), 0)).toBe("fresh");
});

test("a proof that comes again for the same purpose is the same; without a purpose it never is", () => {
  const seen = createReplayMemory();
  expect(seen(proof("a", { purpose: "p" }), 0)).toBe("fresh");
  expect(seen(proof("a", { purpose: "p" }), 0)).toBe("fresh");
  expect(seen(proof("a", { purpose: "q" }), 0)).toBe("replayed");
  expect(seen(proof("a"), 0)).toBe("replayed");
  expect(seen(proof("b"), 0)).toBe("fresh");
  expect(seen(proof("b", { purpose: "p" }), 0)).toBe("replayed");
});

test("when it is full nothing is forgotten, and there is room again when proofs are too old", () => {
  const seen = createReplayMemory({ entriesMax: 3, perKeyMax: 2 });
  const keys = ["k", "k", "k", "l", "m"];
  expect(keys.map((key, turn) => seen(proof(`${turn}`, { key }), 0))).toEqual([
    "fresh",
    "fresh",
    "full",
    "fresh",
    "full",
  ]);
  expect(seen(proof("0"), 999)).toBe("replayed");
  expect(seen(proof("9", { until: 3000 }), 2000)).toBe("fresh");
});

test("whatever is presented when, no proof is fresh twice within its time, and no bound is passed", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b"),
    jti: fc.constantFrom("1", "2", "3", "4"),
    wait: fc.integer({ min: 0, max: 1500 }),
    life: fc.integer({ min: 1, max: 3000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const seen = createReplayMemory({ entriesMax: 4, perKeyMax: 3 });
      const taken: { name: string; key: string; until: number }[] = [];
      let now = 0;
      for (const { key, jti, wait, life } of steps) {
        now += wait;
        const outcome = seen({ key, jti, until: now + life }, now);
        const open = taken.filter(({ until }) => until > now);
        if (open.some(({ name }) => name === key + jti)) expect(outcome).toBe("replayed");
        else expect(outcome).not.toBe("replayed");
        if (outcome === "fresh") taken.push({ name: key + jti, key, until: now + life });
        const held = taken.filter(({ until }) => until > now);
        expect(held.length).toBeLessThanOrEqual(4);
        expect(held.filter((each) => each.key === key).length).toBeLessThanOrEqual(3);
      }
    }),
  );
});

describe("in the store", () => {
  const refuse = (): never => {
    throw new Error("nothing is decided here");
  };
  const open = (file: string): Ledger =>
    openLedger(file, { judge: refuse, admit: refuse, engine: "reference" });
  const storeOf = (ledger: Ledger): ProofStore => ({
    rememberProof: (command) => {
      const [done] = ledger.commit([{ kind: "proof", command }]);
      if (!done || !("value" in done)) throw new Error("the act was refused");
      return Promise.resolve(done.value as "fresh" | "replayed");
    },
  });

  test("a proof counts once, also for who begins anew, and again for what it was for", async () => {
    const file = join(tempDir(), "remit.db");
    let ledger = open(file);
    const first = createReplays(storeOf(ledger));
    expect(await first(proof("a", { purpose: "p" }), 0)).toBe("fresh");
    expect(await first(proof("b"), 0)).toBe("fresh");
    ledger.close();
    ledger = open(file);
    const second = createReplays(storeOf(ledger));
    expect(await second(proof("b"), 0)).toBe("replayed");
    expect(await second(proof("b", { key: "other" }), 0)).toBe("fresh");
    expect(await second(proof("a", { purpose: "p" }), 0)).toBe("fresh");
    const third = createReplays(storeOf(ledger));
    expect(await third(proof("a", { purpose: "q" }), 0)).toBe("replayed");
    const fourth = createReplays(storeOf(ledger));
    expect(await fourth(proof("a"), 0)).toBe("replayed");
    ledger.close();
  });

  test("nothing is kept beyond its time, nor in clear text", async () => {
    const file = join(tempDir(), "remit.db");
    const ledger = open(file);
    const replays = createReplays(storeOf(ledger));
    await replays(proof("hush", { purpose: "hush" }), 0);
    await replays(proof("hushed", { until: 5000 }), 0);
    await replays(proof("late", { until: 5000 }), 1000);
    ledger.close();
    const db = openDatabase(file);
    const rows = db.prepare<[], { jti: string; until: number }>("select * from proof order by until").all();
    db.close();
    expect(rows.map(({ until }) => until)).toEqual([5_000_000, 5_000_000]);
    expect(JSON.stringify(rows)).not.toContain("hush");
  });
});
