/** Requests as they are read: what a batch may ask for as a whole. */
import { expect, test } from "vitest";
import { readEvaluations } from "./request.ts";

const question = {
  subject: { type: "user", id: "alice" },
  action: { name: "read" },
  resource: { type: "record", id: "record-1" },
};
const limits = { itemsMax: 1000, repeatedSizeMax: 10_000 };

const batch = (items: readonly object[], pad: number): object => ({
  ...question,
  context: { pad: "x".repeat(pad) },
  evaluations: items,
});
const read = (body: object): unknown => readEvaluations(JSON.parse(JSON.stringify(body)), limits);
const times = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);

test("a small body can't ask for more than its bound by repeating its defaults", () => {
  expect(() => read(batch(times(100, {}), 500))).toThrow(
    expect.objectContaining({ code: "payload_too_large", field: "evaluations" }),
  );
  expect(() => read(batch(times(100, { action: null }), 500))).toThrow(/send fewer items/);
});

test("defaults that the items replace don't count", () => {
  expect(read(batch(times(50, { context: {} }), 9000))).toMatchObject({ kind: "batch" });
  expect(read(batch(times(10, {}), 500))).toMatchObject({ kind: "batch" });
});
