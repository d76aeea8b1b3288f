/** Canonical bytes are the library's in every case, and digests are of all their parts. */
import canonicalize from "canonicalize";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, sha256 } from "./digest.ts";

const outcome = (act: () => unknown): unknown => {
  try {
    return act();
  } catch {
    return "refused";
  }
};

/** What the library makes of it, which is RFC 8785; it gives nothing for what has no form. */
const reference = (value: unknown): unknown => outcome(() => canonicalize(value) ?? "refused");

const key = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "1",
    "10",
    "9",
    "__proto__",
    "toJSON",
    "\u20ac",
    "\r",
    "\ufb33",
    "\ud83d\ude00",
    "\\ud800",
    "b",
    "a",
  ),
);

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, undefined, -0, 1e21, 1e-7, Number.NaN, 333333333.3333333),
    fc.double(),
    fc.string({ unit: "binary" }),
    fc.array(tie("value")),
    fc
      .array(fc.tuple(key, tie("value")))
      .map((entries) => Object.fromEntries(entries.map(([name, value]) => [name, value]))),
    fc.constantFrom(new Date(0), Object.create({ inherited: 1 }), Symbol("s"), "\ud800"),
  ),
})).value;

test("every value has the bytes that the library gives it, or is refused as there", () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(outcome(() => canonicalJson(value))).toEqual(reference(value));
    }),
    { numRuns: 3000 },
  );
});

test("keys are ordered by UTF-16 code units, as RFC 8785 §3.2.3 shows", () => {
  const value = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 };
  const places = [...canonicalJson(value).matchAll(/":(\d)/g)].map(([, place]) => Number(place));
  expect(places).toEqual([2, 4, 6, 7, 1, 5, 3]);
});

test("a digest is that of all its parts in a row", () => {
  const whole = sha256("a longer text");
  expect(sha256("a longer", " text").equals(whole)).toBe(true);
  expect(sha256("", "a longer text", new Uint8Array()).equals(whole)).toBe(true);
  expect(whole.toString("hex")).toBe("759ae7b7ac72bf271ec79dd281cac37cfe7e508095bbaea8f37e1e8f9a670cd7");
});
