/** When a failed delivery is tried again, and when it is given up. */
import type { Micros } from "../kit/clock.ts";

const seconds = 1_000_000;
const minutes = 60 * seconds;
const hours = 60 * minutes;

/** Standard Webhooks' schedule: how long after one attempt the next is made. With jitter, a bit over 75 hours in all. */
export const delaysMicros: readonly number[] = [
  0,
  5 * seconds,
  5 * minutes,
  30 * minutes,
  2 * hours,
  5 * hours,
  10 * hours,
  14 * hours,
  20 * hours,
  24 * hours,
];

/** Up to a tenth is added to a delay, so that what failed together isn't tried together. */
const jitterPart = 0.1;

/** The longest that a receiver may put us off. */
const retryAfterMicrosMax = 24 * hours;

/** What `Retry-After` says (RFC 9110 §10.2.3: seconds or a date), from now; nothing where it says nothing sensible. */
export const retryAfterMicros = (header: string | undefined, now: Micros): number | undefined => {
  if (header === undefined) return undefined;
  const text = header.trim();
  const micros = /^\d{1,9}$/.test(text) ? Number(text) * seconds : Date.parse(text) * 1000 - now;
  return Number.isNaN(micros) ? undefined : Math.min(Math.max(micros, 0), retryAfterMicrosMax);
};

/**
 * When to try again after `attempts` failed ones, the last just now; nothing: give up. The receiver's wish can only
 * put it off. `random` is in [0, 1).
 */
export const nextAttemptAt = (
  attempts: number,
  now: Micros,
  putOffMicros: number | undefined,
  random: number,
): Micros | undefined => {
  const delay = delaysMicros[attempts];
  if (delay === undefined) return undefined;
  return now + Math.max(delay + Math.floor(delay * jitterPart * random), putOffMicros ?? 0);
};
