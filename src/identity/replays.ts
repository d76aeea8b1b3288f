/**
 * Proofs that were seen: each counts once, also after a restart. Bounded by what this process has seen, and full means no:
 * nothing is forgotten before its time.
 */
import { sha256 } from "../kit/digest.ts";
import type { ProofStore } from "./store.ts";

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

/** @throws Problem `ledger_unavailable` where it can't be told */
export type Replays = (proof: Proof, nowMs: number) => Promise<Seen>;

export type ReplayMemory = (proof: Proof, nowMs: number) => Seen;

type Entry = { until: number; purpose: string | undefined };

/** What this process has seen. `perKeyMax` keeps one runaway agent from filling it for all. */
export const createReplayMemory = ({ entriesMax, perKeyMax }: ReplayBounds = usualBounds): ReplayMemory => {
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

const digest = (text: string): string => sha256(text).toString("base64url");

/** What was seen, here and in the store: what is refused here already costs no write. */
export const createReplays =
  ({ rememberProof }: ProofStore, memory: ReplayMemory = createReplayMemory()): Replays =>
  async (proof, nowMs) => {
    const seen = memory(proof, nowMs);
    if (seen !== "fresh") return seen;
    const { key, jti, until, purpose } = proof;
    return rememberProof({
      key,
      jti: digest(jti),
      until: until * 1000,
      ...(purpose === undefined ? {} : { purpose: digest(purpose) }),
      at: nowMs * 1000,
    });
  };
