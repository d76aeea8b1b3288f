/** Identifiers: time-ordered UUIDs for entries, random names that stand for a person or a run. */
import { randomBytes } from "node:crypto";
import type { Micros } from "./clock.ts";

const hex = (bytes: Buffer, start: number, end: number): string => bytes.toString("hex", start, end);

/** A UUIDv7 (RFC 9562 §5.7) of the given instant, with 74 random bits. */
export const uuidv7 = (at: Micros): string => {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Math.floor(at / 1000), 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return `${hex(bytes, 0, 4)}-${hex(bytes, 4, 6)}-${hex(bytes, 6, 8)}-${hex(bytes, 8, 10)}-${hex(bytes, 10, 16)}`;
};

/** A random 128-bit name that stands for something the ledger must not name. */
export const pseudonym = (): string => `p_${randomBytes(16).toString("base64url")}`;
