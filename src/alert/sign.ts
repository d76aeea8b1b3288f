/** Standard Webhooks 1.0.0 signatures: HMAC-SHA256 over id, time and body, one for each secret in use. */
import { createHmac, timingSafeEqual } from "node:crypto";

const prefix = "whsec_";
const secretBytesMin = 24;
const secretBytesMax = 64;

/** A secret as it is written, `whsec_` and base64 of 24 to 64 bytes. @throws Error that never tells the secret */
export const readSecret = (text: string): Uint8Array => {
  const base64 = text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
  if (base64 === undefined) throw new Error(`a secret begins with \`${prefix}\``);
  const bytes = Buffer.from(base64, "base64");
  // Node skips over what isn't base64; a secret that was mangled on its way must not pass for another one.
  if (bytes.toString("base64").replaceAll("=", "") !== base64.replace(/={1,2}$/, ""))
    throw new Error("a secret is not base64");
  if (bytes.length < secretBytesMin || bytes.length > secretBytesMax)
    throw new Error(`a secret has ${secretBytesMin} to ${secretBytesMax} bytes, not ${bytes.length}`);
  return bytes;
};

/** The secrets of a file, one a line; the second is there while receivers change over. @throws Error as `readSecret`, or when there is none */
export const readSecrets = (text: string): Uint8Array[] => {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (lines.length === 0) throw new Error("there is no secret in it");
  return lines.map(readSecret);
};

export type SignedHeaders = {
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
};

const signature = (id: string, seconds: string, body: string, secret: Uint8Array): string =>
  `v1,${createHmac("sha256", secret).update(`${id}.${seconds}.${body}`).digest("base64")}`;

/** The headers of one attempt. `atSeconds` is the attempt's time since the epoch; `id` stays the same across attempts. */
export const sign = (
  { id, atSeconds, body }: { id: string; atSeconds: number; body: string },
  secrets: readonly Uint8Array[],
): SignedHeaders => {
  const seconds = String(atSeconds);
  return {
    "webhook-id": id,
    "webhook-timestamp": seconds,
    "webhook-signature": secrets.map((secret) => signature(id, seconds, body, secret)).join(" "),
  };
};

/** How far the attempt's time may be from the receiver's, either way. */
const toleranceSeconds = 300;

const same = (left: string, right: string): boolean => {
  const a = Buffer.from(left);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
};

/**
 * What a receiver does: whether the body, exactly as it arrived, was signed with one of these secrets, and lately.
 * `nowSeconds` is the receiver's time since the epoch; `headers` have lower-case names.
 */
export const verify = (
  headers: Readonly<Record<string, string | undefined>>,
  body: string,
  secrets: readonly Uint8Array[],
  nowSeconds: number,
): { ok: true; id: string } | { ok: false; reason: string } => {
  const id = headers["webhook-id"];
  const seconds = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (id === undefined || seconds === undefined || signatures === undefined)
    return { ok: false, reason: "a webhook header is missing" };
  if (!/^\d{1,12}$/.test(seconds)) return { ok: false, reason: "webhook-timestamp is no time" };
  if (Math.abs(Number(seconds) - nowSeconds) > toleranceSeconds)
    return { ok: false, reason: `webhook-timestamp is more than ${toleranceSeconds} s away` };
  const given = signatures.split(" ");
  const signed = secrets.some((secret) => {
    const expected = signature(id, seconds, body, secret);
    return given.some((candidate) => same(candidate, expected));
  });
  return signed ? { ok: true, id } : { ok: false, reason: "no signature matches" };
};
