/** API keys: random, shown once, kept as a hash, compared in constant time. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const prefix = "remit_";

/** `sha256:` and 64 hexadecimal digits. A plain hash suffices: a key is 256 random bits, which no one can guess. */
export const hashKey = (key: string): string => `sha256:${createHash("sha256").update(key).digest("hex")}`;

/** A fresh key and what is kept of it. */
export const newKey = (): { key: string; keyHash: string } => {
  const key = `${prefix}${randomBytes(32).toString("base64url")}`;
  return { key, keyHash: hashKey(key) };
};

/** Whether two hashes are equal, in time that tells nothing of where they differ. */
export const sameHash = (a: string, b: string): boolean => {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
};
