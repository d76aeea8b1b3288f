/** Digests and canonical bytes (RFC 8785): the same value has the same bytes, and so the same name. */
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import { assert } from "./assert.ts";

/** SHA-256 of the concatenation of `parts`. */
export const sha256 = (...parts: (string | Uint8Array)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The RFC 8785 form of a JSON value. Throws a `Bug` for what JSON cannot hold. */
export const canonicalJson = (value: unknown): string => {
  const text = canonicalize(value);
  assert(text !== undefined, "a value without a JSON form was to be made canonical");
  return text;
};

/** The name of a JSON value: `sha256:` and 64 hexadecimal digits over its canonical form. */
export const digestOf = (value: unknown): string => `sha256:${sha256(canonicalJson(value)).toString("hex")}`;
