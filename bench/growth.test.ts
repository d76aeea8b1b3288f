/** What the soak judges. */
import { expect, test } from "vitest";
import { growthIn, type Slice } from "./growth.ts";

const steady: Slice = { residentMiB: 300, descriptors: 40, p50Ms: 10, p99Ms: 40 };

const slicesOf = (change: (at: number) => Partial<Slice>): Slice[] =>
  Array.from({ length: 10 }, (_, at) => ({ ...steady, ...change(at) }));

test("what is steady, and what grows only at first, has not grown", () => {
  expect(growthIn(slicesOf(() => ({})))).toEqual([]);
  expect(growthIn(slicesOf((at) => ({ residentMiB: Math.min(300, 150 + at * 50) })))).toEqual([]);
});

test("one slow part is no growth", () => {
  expect(growthIn(slicesOf((at) => (at === 8 ? { p50Ms: 100, p99Ms: 900 } : {})))).toEqual([]);
});

test.each<[keyof Slice, (at: number) => Partial<Slice>]>([
  ["residentMiB", (at) => ({ residentMiB: 300 + at * 30 })],
  ["descriptors", (at) => ({ descriptors: 40 + at })],
  ["p50Ms", (at) => ({ p50Ms: 10 + at * 3 })],
  ["p99Ms", (at) => ({ p99Ms: 40 + at * at * 3 })],
])("%s that goes on growing is told", (name, change) => {
  expect(growthIn(slicesOf(change))).toEqual([expect.stringContaining(`${name} went from `)]);
});

test("too few parts tell nothing", () => {
  expect(() => growthIn(slicesOf(() => ({})).slice(0, 8))).toThrow("8 parts");
});
