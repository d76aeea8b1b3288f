/** Tiles: their paths, their growth, and bundles of entries. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leafHash } from "./entry.ts";
import { bundleOf, createEdge, entriesIn, parseTilePath, tilePath, widthAt } from "./tile.ts";

describe("paths", () => {
  test.each([
    ["tile/0/x001/x234/067", { level: 0, index: 1_234_067, width: 256 }],
    ["tile/0/x001/x234/067.p/1", { level: 0, index: 1_234_067, width: 1 }],
    ["tile/1/000", { level: 1, index: 0, width: 256 }],
    ["tile/entries/x009/999.p/255", { level: "entries", index: 9999, width: 255 }],
  ] as const)("%s is read and written", (path, name) => {
    expect(parseTilePath(path)).toEqual(name);
    expect(tilePath(name)).toBe(path);
  });

  test.each([
    "tile/0/1",
    "tile/0/0000",
    "tile/0/x000/001",
    "tile/00/001",
    "tile/0/001.p/256",
    "tile/0/001.p/0",
    "tile/0/001.p/01",
    "tile/data/001",
    "tile/0/001/",
    "tile/0/../001",
  ])("%s is none", (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });
});

test("an edge that is taken up again from its tiles grows as the one that was never put down", () => {
  fc.assert(
    fc.property(fc.nat(140_000), fc.integer({ min: 1, max: 600 }), (before, more) => {
      const leaf = leafHash(Buffer.from("entry"));
      const [first, tiles] = [createEdge(), new Map<string, Buffer>()];
      for (let n = 0; n < before; n++) first.append(leaf);
      for (const { level, index, bytes } of first.drain()) tiles.set(`${level} ${index}`, bytes);
      const begun = Array.from({ length: 7 }, (_, level) => {
        const index = Math.floor(before / 256 ** (level + 1));
        const width = widthAt(level, index, before);
        if (level === 0) return Buffer.concat(Array.from({ length: width }, () => leaf));
        return (tiles.get(`${level} ${index}`) ?? Buffer.alloc(0)).subarray(0, width * 32);
      });
      const second = createEdge(before, begun);
      for (let n = 0; n < more; n++) for (const edge of [first, second]) edge.append(leaf);
      expect(second.root()).toEqual(first.root());
      expect(second.drain()).toEqual(first.drain());
      expect(second.size()).toBe(before + more);
    }),
    { numRuns: 8 },
  );
});

test("a bundle gives its entries back, and a cut one nothing", () => {
  const entries = [Buffer.from("a"), Buffer.alloc(0), Buffer.alloc(16_384, 7)];
  const bundle = bundleOf(entries);
  expect(bundle.subarray(0, 3).toString("hex")).toBe("000161");
  expect(entriesIn(bundle).map((entry) => Buffer.from(entry))).toEqual(entries);
  expect(() => entriesIn(bundle.subarray(0, -1))).toThrow("cut off");
  expect(() => entriesIn(bundle.subarray(0, 4))).toThrow("cut off");
});
