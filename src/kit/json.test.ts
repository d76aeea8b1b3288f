/** Strict JSON agrees with `JSON.parse` on what both take, and refuses, naming the place, what readers take differently. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { JsonError, parseJson } from "./json.ts";

const safe = fc.jsonValue().filter((value) => {
  const text = JSON.stringify(value);
  return text.isWellFormed() && !text.includes("__proto__") && !/\\ud[89a-f]/i.test(text);
});
const hasUnsafeInteger = (value: unknown): boolean => {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasUnsafeInteger);
};

test("agrees with JSON.parse on every value that both take", () => {
  fc.assert(
    fc.property(safe, fc.constantFrom(undefined, 1, "\t"), (value, space) => {
      fc.pre(!hasUnsafeInteger(value));
      const text = JSON.stringify(value, undefined, space);
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
    { numRuns: 500 },
  );
});

test("takes no text that JSON.parse refuses", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"b\\n"',
    "1",
    "-0",
    "01",
    "1.",
    ".5",
    "1e3",
    "true",
    "nul",
    "null",
    " ",
    "\n",
    "\\",
    "\u0001",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const text = parts.join("");
      let taken = true;
      try {
        parseJson(text);
      } catch {
        taken = false;
      }
      if (taken) expect(() => JSON.parse(text) as unknown).not.toThrow();
    }),
    { numRuns: 5000 },
  );
});

const fault = (text: string, depthMax?: number): { field: string; message: string } => {
  try {
    parseJson(text, depthMax);
  } catch (error) {
    if (error instanceof JsonError) return { field: error.field, message: error.message };
  }
  throw new Error("nothing was refused");
};

test.each([
  ["a duplicate name", '{"a":{"b":1,"b":2}}', "a.b", "duplicate name"],
  ["a name that is a duplicate after unescaping", '{"a":1,"\\u0061":2}', "a", "duplicate name"],
  ["a lone surrogate in an escape", '{"a":["\\ud800"]}', "a.0", "lone surrogate"],
  ["a lone surrogate in a name", '{"\\udc00":1}', "", "lone surrogate"],
  ["a lone surrogate as it is", '{"a":"\ud800"}', "a", "lone surrogate"],
  ["an integer beyond 2^53", '{"a":9007199254740992}', "a", "integer beyond"],
  ["a negative integer beyond 2^53", '{"a":-9007199254740993}', "a", "integer beyond"],
  ["an integer written with an exponent", '{"a":1e20}', "a", "integer beyond"],
  ["a number beyond double", '{"a":1e999}', "a", "range of a double"],
  ["__proto__", '{"a":{"__proto__":{}}}', "a.__proto__", "__proto__"],
  ["__proto__ in an escape", '{"\\u005f_proto__":{}}', "__proto__", "__proto__"],
  ["a control character", '{"a":"\n"}', "a", "control character"],
  ["text after the value", "{} {}", "", "end of the text"],
  ["nothing", "", "", "the text ends"],
  ["an unterminated string", '{"a":"x', "a", "unterminated"],
  ["a bad escape", '{"a":"\\x"}', "a", "invalid escape"],
  ["a leading zero", "[01]", "", "expected `,` or `]`"],
  ["NaN", "[NaN]", "0", "unexpected `N`"],
  ["a missing colon", '{"a" 1}', "a", "expected `:`"],
  ["a name without quotes", "{a:1}", "", "a name in quotes"],
])("refuses %s and names the place", (_what, text, field, message) => {
  const found = fault(text);
  expect(found.field).toBe(field);
  expect(found.message).toContain(message);
});

test("takes nesting up to the bound and refuses one level more", () => {
  expect(parseJson("[[[]]]", 3)).toEqual([[[]]]);
  expect(fault("[[[[]]]]", 3)).toEqual({ field: "0.0.0", message: "nested too deeply" });
});

test("names of JavaScript's own objects are names like any other", () => {
  const value = parseJson('{"constructor":1,"toString":2,"hasOwnProperty":3}');
  expect(Object.entries(value as object)).toEqual([
    ["constructor", 1],
    ["toString", 2],
    ["hasOwnProperty", 3],
  ]);
});
