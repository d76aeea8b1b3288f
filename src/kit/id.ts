/** Identifiers: time-ordered UUIDs for entries, random names that stand for a person or a run. */
import type { Micros } from "./clock.ts";
import { freshBytes } from "./random.ts";

/** A UUIDv7 (RFC 9562 §5.7) of the given instant, with 74 random bits. */
export const uuidv7 = (at: Micros): string => {
  const bytes = freshBytes(16);
  bytes.writeUIntBE(Math.floor(at / 1000), 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** 144 random bits as text: whoever knows them may use what they name. */
export const secret = (): string => freshBytes(18).toString("base64url");

/** A random 128-bit name that stands for something the ledger must not name. */
export const pseudonym = (): string => `p_${freshBytes(16).toString("base64url")}`;
