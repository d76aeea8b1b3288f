/** Digests and canonical bytes (RFC 8785): the same value has the same bytes, and so the same name. */
import { createHash, hash } from "node:crypto";
import canonicalize from "canonicalize";
import { assert } from "./assert.ts";

/** SHA-256 of the concatenation of `parts`. */
export const sha256 = (...parts: (string | Uint8Array)[]): Buffer => {
  if (parts.length === 1) return hash("sha256", parts[0]!, "buffer");
  const digest = createHash("sha256");
  for (const part of parts) digest.update(part);
  return digest.digest();
};

/** What can't be told by reordering alone. */
const unusual = Symbol("unusual");

/** A key that an object would not keep in its place. */
const isUnusualKey = (key: string): boolean => {
  const first = key.charCodeAt(0);
  return (first >= 48 && first <= 57) || key === "__proto__" || key === "toJSON";
};

/** The value with all keys in order; itself where they are already. */
const ordered = (value: unknown): unknown => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : unusual;
  if (typeof value !== "object") return unusual;
  return Array.isArray(value) ? orderedItems(value) : orderedRecord(value);
};

const orderedItems = (items: readonly unknown[]): unknown => {
  let copy: unknown[] | undefined;
  for (let at = 0; at < items.length; at++) {
    const item = ordered(items[at]);
    if (item === unusual) return unusual;
    if (copy === undefined && item !== items[at]) copy = items.slice(0, at);
    copy?.push(item);
  }
  return copy ?? items;
};

const orderedRecord = (value: object): unknown => {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return unusual;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an object of its own properties
  const record = value as Record<string, unknown>;
  const keys = Object.keys(record);
  let asIs = true;
  for (let at = 0; at < keys.length; at++) {
    if (isUnusualKey(keys[at]!)) return unusual;
    if (at > 0 && keys[at - 1]! > keys[at]!) asIs = false;
  }
  if (!asIs) keys.sort();
  const items: unknown[] = [];
  for (const key of keys) {
    // What is undefined has no place in JSON, in whatever order.
    const item = record[key] === undefined ? undefined : ordered(record[key]);
    if (item === unusual) return unusual;
    if (item !== record[key]) asIs = false;
    items.push(item);
  }
  if (asIs) return record;
  const copy: Record<string, unknown> = {};
  for (let at = 0; at < keys.length; at++) copy[keys[at]!] = items[at];
  return copy;
};

/**
 * The RFC 8785 form of a JSON value. Throws a `Bug` for what JSON cannot hold. What only needs its keys in order, nearly
 * everything, is written by the runtime in one go, which costs a third; all else is the library's.
 */
export const canonicalJson = (value: unknown): string => {
  const inOrder = ordered(value);
  if (inOrder !== unusual) {
    const text = JSON.stringify(inOrder);
    // A lone surrogate, which has no canonical form, or a text that spells one.
    if (!text.includes("\\ud")) return text;
  }
  const text = canonicalize(value);
  assert(text !== undefined, "a value without a JSON form was to be made canonical");
  return text;
};

/** The name of a JSON value: `sha256:` and 64 hexadecimal digits over its canonical form. */
export const digestOf = (value: unknown): string => `sha256:${sha256(canonicalJson(value)).toString("hex")}`;
