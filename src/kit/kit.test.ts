/** Clock, identifiers, digests, places and files: the small parts everything else stands on. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isoMicros, systemClock } from "./clock.ts";
import { canonicalJson, digestOf } from "./digest.ts";
import { pseudonym, uuidv7 } from "./id.ts";
import { offsetOfByte, placesIn } from "./place.ts";
import { readYaml } from "./yaml.ts";

test("the clock never runs backwards and agrees with the wall clock", () => {
  const clock = systemClock();
  let last = clock();
  for (let n = 0; n < 10_000; n++) {
    const now = clock();
    expect(now).toBeGreaterThanOrEqual(last);
    last = now;
  }
  expect(Math.abs(last / 1000 - Date.now())).toBeLessThan(2000);
});

test("instants are written with six digits of a second", () => {
  expect(isoMicros(1_795_537_172_625_042)).toBe("2026-11-24T16:19:32.625042Z");
  expect(isoMicros(-1)).toBe("1969-12-31T23:59:59.999999Z");
});

test("UUIDs of version 7 sort by their instant and bear version and variant", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), fc.integer({ min: 1, max: 1000 }), (at, later) => {
      const [first, second] = [uuidv7(at * 1000), uuidv7((at + later) * 1000)];
      expect(first < second).toBe(true);
      expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );
});

test("no two pseudonyms are alike", () => {
  expect(new Set(Array.from({ length: 1000 }, pseudonym)).size).toBe(1000);
});

test("a digest depends on the value and not on the order of its members", () => {
  expect(digestOf({ a: 1, b: [2, { c: 3, d: 4 }] })).toBe(digestOf({ b: [2, { d: 4, c: 3 }], a: 1 }));
  expect(digestOf({ a: 1 })).not.toBe(digestOf({ a: 2 }));
  expect(digestOf({})).toMatch(/^sha256:[0-9a-f]{64}$/);
});

const vectors = new URL("../../../shared/corpora/rfc8785-jcs/testdata/", import.meta.url);

test.skipIf(!existsSync(vectors))(
  "canonical JSON agrees with the vectors of RFC 8785 (skipped: corpus absent)",
  () => {
    const names = readdirSync(new URL("input/", vectors));
    expect(names.length).toBeGreaterThan(4);
    for (const name of names) {
      const input: unknown = JSON.parse(readFileSync(new URL(`input/${name}`, vectors), "utf8"));
      expect(canonicalJson(input)).toBe(readFileSync(new URL(`output/${name}`, vectors), "utf8").trimEnd());
    }
  },
);

test("places count lines and columns from one, wherever the offset lies", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("a", "é", "\n", "😀"), { maxLength: 40 }),
      fc.nat(80),
      (parts, raw) => {
        const text = parts.join("");
        const offset = Math.min(raw, text.length);
        const before = text.slice(0, offset).split("\n");
        expect(placesIn("f", text)(offset)).toEqual({
          file: "f",
          line: before.length,
          column: before.at(-1)!.length + 1,
        });
      },
    ),
  );
});

test("offsets in bytes become offsets in characters", () => {
  expect(offsetOfByte("é😀x", 6)).toBe(3);
});

test.each([
  ["a duplicate key", "a: 1\na: 2\n", 2],
  ["an integer beyond 2^53", "a:\n  - 9007199254740993\n", 2],
  ["a broken flow", "a: [1, 2\nb: 3\n", 2],
])("YAML with %s is refused with its line", (_what, text, line) => {
  const read = readYaml("f.yaml", text);
  expect(read).toMatchObject({ errors: [{ file: "f.yaml", line }] });
});

test("YAML values keep their place", () => {
  const read = readYaml("f.yaml", "a:\n  - x\n  - b: 1\n");
  if ("errors" in read) throw new Error("refused");
  expect(read.placeOf(["a", 1, "b"])).toEqual({ file: "f.yaml", line: 3, column: 8 });
  expect(read.placeOf(["a", 1, "missing"])).toMatchObject({ line: 3 });
});
