/** Writes that are whole or leave nothing, in the file or in memory; and whether the file takes any. */
import { statSync } from "node:fs";
import { basename } from "node:path";
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Writes as much as a commit may need, and takes it away again. */
const tryWrite = (db: Database): void => {
  db.transaction(() => db.prepare("insert into trial values (zeroblob(65536))").run()).immediate();
  db.transaction(() => db.prepare("delete from trial").run()).immediate();
};

export type Writes = {
  /** Runs a write; when it fails, nothing of it stays, in the file or in memory. */
  durable: <T>(act: () => T) => T;
  /** Extends the tree; what can't be extended consistently isn't appended to any more either. */
  extend: <T>(act: () => T) => T;
  /** Whether the file is where it was opened, the last write held, and a trial does: one that is a moment old counts. */
  writable: () => { ok: true } | { ok: false; error: string };
};

/** How long a trial counts: whoever asks often mustn't make the disk busy. */
const trialMs = 400;

/** Whether the open file is still the one of its name: what is written to another one is lost when this process ends. */
const misplaced = (name: string): (() => string | undefined) => {
  const opened = statSync(name);
  return () => {
    const now = statSync(name, { throwIfNoEntry: false });
    if (now && now.ino === opened.ino && now.dev === opened.dev) return undefined;
    return `\`${basename(name)}\` was ${now ? "replaced" : "moved or deleted"} while it was open`;
  };
};

/** `forget` drops what was remembered of a write that failed. */
export const createWrites = (db: Database, forget: () => void): Writes => {
  let failure: string | undefined;
  let halted: Problem | undefined;
  let triedAt = -Infinity;
  const elsewhere = misplaced(db.name);
  const durable: Writes["durable"] = (act) => {
    if (halted) throw new Problem("ledger_unavailable", halted.detail, { cause: halted });
    try {
      const value = act();
      failure = undefined;
      return value;
    } catch (error) {
      if (error instanceof Problem) throw error;
      failure = errorText(error);
      if (db.inTransaction) db.exec("rollback");
      forget();
      throw new Problem("ledger_unavailable", "the decision could not be recorded, so nothing was decided", {
        cause: error,
      });
    }
  };
  return {
    durable,
    extend: (act) =>
      durable(() => {
        try {
          return act();
        } catch (error) {
          if (error instanceof Problem) halted = error;
          throw error;
        }
      }),
    writable: () => {
      if (halted) return { ok: false, error: halted.detail };
      const lost = elsewhere();
      if (lost !== undefined) return { ok: false, error: lost };
      try {
        if (failure !== undefined || performance.now() - triedAt > trialMs) durable(() => tryWrite(db));
        triedAt = performance.now();
        return { ok: true };
      } catch {
        return { ok: false, error: failure ?? "unknown" };
      }
    },
  };
};
