/** Cedar's Long: 64 bits, signed; what doesn't fit is an error. Numbers while they are exact, else bigints. */
import { EvaluationError } from "./failure.ts";

export type Long = number | bigint;

const max = 9_223_372_036_854_775_807n;
const min = -9_223_372_036_854_775_808n;
const overflow = new EvaluationError("integer overflow");

/** The Long of an exact integer, in its one form. @throws EvaluationError where it exceeds 64 bits */
export const longOf = (exact: bigint): Long => {
  if (exact > max || exact < min) throw overflow;
  const number = Number(exact);
  return Number.isSafeInteger(number) ? number : exact;
};

/** Whether an exact integer fits 64 bits. */
export const fitsLong = (exact: bigint): boolean => exact <= max && exact >= min;

// A sum or product of numbers that comes out safe was exact: whatever exceeds 53 bits rounds to something unsafe.
type Both = (left: Long, right: Long) => Long;

export const add: Both = (left, right) => {
  if (typeof left === "number" && typeof right === "number") {
    const sum = left + right;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return longOf(BigInt(left) + BigInt(right));
};

export const subtract: Both = (left, right) => {
  if (typeof left === "number" && typeof right === "number") {
    const difference = left - right;
    if (Number.isSafeInteger(difference)) return difference;
  }
  return longOf(BigInt(left) - BigInt(right));
};

export const multiply: Both = (left, right) => {
  if (typeof left === "number" && typeof right === "number") {
    const product = left * right;
    if (Number.isSafeInteger(product)) return product;
  }
  return longOf(BigInt(left) * BigInt(right));
};

export const negate = (value: Long): Long => (typeof value === "number" ? -value : longOf(-value));

/** Towards zero. */
export const quotient = (value: Long, divisor: number): Long =>
  typeof value === "number" ? Math.trunc(value / divisor) : longOf(value / BigInt(divisor));
