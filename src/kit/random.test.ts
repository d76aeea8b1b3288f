/** Randomness that is drawn by the handful is never given twice. */
import { expect, test } from "vitest";
import { freshBytes } from "./random.ts";

test("no bytes are given twice, and none are zeros that were wiped", () => {
  const given = Array.from({ length: 5000 }, () => freshBytes(16).toString("hex"));
  expect(new Set(given).size).toBe(5000);
  expect(given).not.toContain("0".repeat(32));
});

test("what was given stays as it was while more is drawn", () => {
  const first = freshBytes(32);
  const text = first.toString("hex");
  for (let draws = 0; draws < 1000; draws++) freshBytes(32);
  expect(first.toString("hex")).toBe(text);
});

test("any size up to the pool's is given whole", () => {
  expect([0, 1, 18, 4096].map((size) => freshBytes(size).length)).toEqual([0, 1, 18, 4096]);
  expect(() => freshBytes(4097)).toThrow(RangeError);
  expect(() => freshBytes(-1)).toThrow(RangeError);
});
