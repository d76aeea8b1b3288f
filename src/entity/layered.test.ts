/** A layered map is, after any changes, what a plain map is; and none of its earlier states moves. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Layered, layered } from "./layered.ts";

const contentOf = (map: Layered<number>): [string, number][] =>
  [...map.entries()].sort(([a], [b]) => (a < b ? -1 : 1));

test("it holds what a plain map holds, however often its layers became one", () => {
  const change = fc.tuple(fc.nat(3000).map(String), fc.option(fc.nat(), { nil: undefined }));
  const batch = fc.array(change, { maxLength: 1500 });
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 6 }), (batches) => {
      const plain = new Map<string, number>([["base", 1]]);
      let map = layered(new Map(plain));
      for (const changes of batches) {
        const before = map;
        const content = contentOf(before);
        map = map.with(new Map(changes));
        for (const [key, value] of changes) {
          if (value === undefined) plain.delete(key);
          else plain.set(key, value);
        }
        expect(contentOf(before)).toEqual(content);
        expect(map.size).toBe(plain.size);
        for (const [key] of changes) expect(map.get(key)).toBe(plain.get(key));
      }
      expect(contentOf(map)).toEqual([...plain].sort(([a], [b]) => (a < b ? -1 : 1)));
    }),
    { numRuns: 60 },
  );
});
