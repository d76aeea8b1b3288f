/** Whether the database takes writes. */
import type pg from "pg";
import { transaction } from "./open.ts";

/** Whether a trial write holds: one that is a moment old counts. */
export type Writable = () => Promise<{ ok: true } | { ok: false; error: string }>;

/** How long a trial counts: whoever asks often mustn't make the database busy. */
const trialMs = 400;

export const createWritable = (pool: pg.Pool): Writable => {
  let tried: { at: number; answer: ReturnType<Writable> } | undefined;
  const trial: Writable = async () => {
    try {
      // Written and synced, and taken away again.
      await transaction(pool, "insert into trial values (1)", (client) => client.query("delete from trial"));
      return { ok: true };
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  };
  return () => {
    const now = performance.now();
    if (!tried || now - tried.at > trialMs) tried = { at: now, answer: trial() };
    return tried.answer;
  };
};
