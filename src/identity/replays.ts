/** Proofs that were seen: each counts once. Bounded, and full means no: nothing is forgotten before its time. */
import { sha256 } from "../kit/digest.ts";

export type Seen = "fresh" | "replayed" | "full";

export type Proof = {
  /** Thumbprint of the key that signed it: a `jti` is unique to its key. */
  key: string;
  jti: string;
  /** Until when it would be accepted again, in milliseconds. */
  until: number;
  /** Whoever presents it again for the same purpose only asks again: a retry after a lost answer. */
  purpose?: string | undefined;
};

export type ReplayBounds = { entriesMax: number; perKeyMax: number };

/** Some 40 MB when full. */
const usualBounds: ReplayBounds = { entriesMax: 200_000, perKeyMax: 20_000 };

export type Replays = (proof: Proof, nowMs: number) => Seen;

type Entry = { until: number; purpose: string | undefined };

/** `perKeyMax` keeps one runaway agent from filling it for all. */
export const createReplays = ({ entriesMax, perKeyMax }: ReplayBounds = usualBounds): Replays => {
  const byKey = new Map<string, Map<string, Entry>>();
  let size = 0;
  let sweptAt = -Infinity;
  let sinceSweep = 0;
  const sweep = (nowMs: number): void => {
    sweptAt = nowMs;
    sinceSweep = 0;
    for (const [key, entries] of byKey) {
      for (const [name, { until }] of entries) {
        if (until > nowMs) continue;
        entries.delete(name);
        size--;
      }
      if (entries.size === 0) byKey.delete(key);
    }
  };
  const fits = (key: string): boolean => size < entriesMax && (byKey.get(key)?.size ?? 0) < perKeyMax;
  return ({ key, jti, until, purpose }, nowMs) => {
    const name = sha256(jti).toString("base64url");
    const known = byKey.get(key)?.get(name);
    if (known && known.until > nowMs)
      return purpose !== undefined && known.purpose === purpose ? "fresh" : "replayed";
    // Once a second is enough: whoever fills it must not make it count itself all the time.
    if (sinceSweep >= perKeyMax || (!fits(key) && nowMs - sweptAt >= 1000)) sweep(nowMs);
    if (!fits(key)) return "full";
    const entries = byKey.get(key) ?? new Map<string, Entry>();
    byKey.set(key, entries);
    if (!entries.has(name)) size++;
    entries.set(name, { until, purpose });
    sinceSweep++;
    return "fresh";
  };
};
