/** How patient the service is with whoever publishes keys. */

/** How long requests to an issuer may take, and how often it may be asked again, in milliseconds. */
export type KeyTimes = {
  timeoutMs: number;
  /** After a key id that the set doesn't hold: anyone can invent those. */
  cooldownMs: number;
  /** After a failure. */
  retryMs: number;
};

export const usualKeyTimes: KeyTimes = { timeoutMs: 3000, cooldownMs: 10_000, retryMs: 1000 };
