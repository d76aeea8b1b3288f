/** The compiled engine is Cedar's equal in random cases, the same ones each time; `npm run fuzz` runs others. */
import { expect, test } from "vitest";
import { convertValue } from "../../src/entity/convert.ts";
import type { SchemaModel } from "../../src/entity/schema.ts";
import { createCedar } from "../../src/policy/cedar.ts";
import { fromJson } from "../../src/policy/value.ts";
import { extensionTexts } from "./extension-boundaries.ts";
import { fuzz } from "./differential.ts";

const firstSeed = 1;

test(
  "in 50,000 random cases, a third of them allowed, a third denied, some with errors, it says what Cedar says",
  { timeout: 300_000 },
  () => {
    const found = fuzz(firstSeed, 50_000);
    expect(found.differences).toEqual([]);
    expect(found.cases).toBeGreaterThanOrEqual(50_000);
    expect(found.allow / found.cases).toBeGreaterThan(1 / 3);
    expect(found.deny / found.cases).toBeGreaterThan(1 / 3);
    expect(found.errors / found.cases).toBeGreaterThan(1 / 10);
    expect(found.errors / found.cases).toBeLessThan(1 / 3);
    // What is left to Cedar proves nothing.
    expect(found.left / found.cases).toBeLessThan(1 / 100);
  },
);

test("what a request may say as an extension value, both engines read: neither is asked what it can't", () => {
  const cedar = createCedar();
  const schema: SchemaModel = { types: new Map(), typeNames: new Map(), actionNames: new Map() };
  let taken = 0;
  for (const name of ["decimal", "ipaddr", "datetime", "duration"] as const)
    for (const text of extensionTexts) {
      const converted = convertValue(schema, text, { kind: "extension", name }, "x");
      if (!("value" in converted)) continue;
      taken++;
      const { value } = converted;
      expect(() => fromJson(value)).not.toThrow();
      expect(cedar.call((module) => module.checkParseContext({ context: { x: value } }))).toEqual({
        type: "success",
      });
    }
  expect(taken).toBeGreaterThan(100);
});
