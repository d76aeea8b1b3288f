/** API keys: random, shown once, kept as a hash, compared in constant time. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const prefix = "remit_";
/** How agents' keys begin. */
export const agentKeyPrefix = "remit_agent_";

/** `sha256:` and 64 hexadecimal digits. A plain hash suffices: a key is 256 random bits, which no one can guess. */
export const hashKey = (key: string): string => `sha256:${createHash("sha256").update(key).digest("hex")}`;

const freshKey = (start: string): { key: string; keyHash: string } => {
  const key = `${start}${randomBytes(32).toString("base64url")}`;
  return { key, keyHash: hashKey(key) };
};

/** A fresh key of a caller and what is kept of it. */
export const newKey = (): { key: string; keyHash: string } => freshKey(prefix);

/** A fresh key of an agent and what is kept of it. */
export const newAgentKey = (): { key: string; keyHash: string } => freshKey(agentKeyPrefix);

/** Whether a text has the form of an agent's key. */
export const isAgentKey = (text: string): boolean =>
  text.startsWith(agentKeyPrefix) && /^[\w-]{43}$/.test(text.slice(agentKeyPrefix.length));

/** Whether two hashes are equal, in time that tells nothing of where they differ. */
export const sameHash = (a: string, b: string): boolean => {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
};
