/** The arithmetic behind the tables. */
import { expect, test } from "vitest";
import { figure, median, percentile, tableText } from "./statistics.ts";

test("a percentile is the value below which that share lies, whatever the order", () => {
  const values = Array.from({ length: 100 }, (_, n) => 100 - n);
  expect(percentile(values, 0.5)).toBe(51);
  expect(percentile(values, 0.99)).toBe(100);
  expect(percentile([7], 0.99)).toBe(7);
});

test("a median sorts numbers as numbers and takes the mean of the middle two", () => {
  expect(median([100, 9, 20])).toBe(20);
  expect(median([4, 1, 10, 2])).toBe(3);
  expect(median([])).toBeNaN();
});

test("figures show what is known, and that something is not", () => {
  expect([12345.6, 12.34, 0.126, Number.NaN].map(figure)).toEqual(["12,346", "12.3", "0.13", "unknown"]);
});

test("a table aligns its columns", () => {
  expect(
    tableText([
      ["", "ms"],
      ["Remit", "1.25"],
      ["a", "10"],
    ]),
  ).toBe("          ms\nRemit   1.25\na         10");
});
