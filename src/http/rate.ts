/** How often a caller may ask: a bucket of tokens for each, filled steadily. A batch costs as many as it has questions. */
import type { Caller, Rate } from "../identity/caller.ts";
import { Problem } from "../kit/problem.ts";

export type Rates = {
  /** @throws Problem `rate_limited` saying when there is a token again */
  take: (caller: Caller) => void;
  /** What a request turned out to cost beyond its first token; the next one waits until it is paid for. */
  charge: (caller: Caller, tokens: number) => void;
};

type Bucket = { tokens: number; at: number };

/** `usual` is for callers without a rate of their own; without either, nothing is counted. */
export const createRates = (usual: Rate | undefined, now: () => number = () => performance.now()): Rates => {
  // By name: callers are configured or added by an administrator, so there are not many.
  const buckets = new Map<string, Bucket>();
  const bucketOf = (name: string, { perSecond, burst }: Rate): Bucket => {
    const at = now();
    const bucket = buckets.get(name) ?? { tokens: burst, at };
    bucket.tokens = Math.min(burst, bucket.tokens + ((at - bucket.at) / 1000) * perSecond);
    bucket.at = at;
    buckets.set(name, bucket);
    return bucket;
  };
  return {
    take: ({ name, rate = usual }) => {
      if (!rate) return;
      const bucket = bucketOf(name, rate);
      if (bucket.tokens >= 1) {
        bucket.tokens--;
        return;
      }
      const seconds = Math.ceil((1 - bucket.tokens) / rate.perSecond);
      throw new Problem("rate_limited", `the caller \`${name}\` may ask ${rate.perSecond} times a second`, {
        retryAfterSeconds: seconds,
      });
    },
    charge: ({ name, rate = usual }, tokens) => {
      if (rate && tokens > 0) bucketOf(name, rate).tokens -= tokens;
    },
  };
};
