/** No proof counts twice, whatever comes in between; and nothing grows without bound. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { createReplays, type Proof } from "./replays.ts";

const proof = (jti: string, more: Partial<Proof> = {}): Proof => ({ key: "k", jti, until: 1000, ...more });

test("a proof counts once, for each key", () => {
  const seen = createReplays();
  expect(seen(proof("a"), 0)).toBe("fresh");
  expect(seen(proof("a"), 999)).toBe("replayed");
  expect(seen(proof("a", { key: "other" }), 0)).toBe("fresh");
  expect(seen(proof("b"), 0)).toBe("fresh");
});

test("a proof that comes again for the same purpose is the same; without a purpose it never is", () => {
  const seen = createReplays();
  expect(seen(proof("a", { purpose: "p" }), 0)).toBe("fresh");
  expect(seen(proof("a", { purpose: "p" }), 0)).toBe("fresh");
  expect(seen(proof("a", { purpose: "q" }), 0)).toBe("replayed");
  expect(seen(proof("a"), 0)).toBe("replayed");
  expect(seen(proof("b"), 0)).toBe("fresh");
  expect(seen(proof("b", { purpose: "p" }), 0)).toBe("replayed");
});

test("when it is full nothing is forgotten, and there is room again when proofs are too old", () => {
  const seen = createReplays({ entriesMax: 3, perKeyMax: 2 });
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
      const seen = createReplays({ entriesMax: 4, perKeyMax: 3 });
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
