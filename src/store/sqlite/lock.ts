/**
 * One process for each data directory. The lock is SQLite's own on a file of its own: the kernel lets go of it when
 * the process dies, however it dies, and no stale file ever keeps a service from starting.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Problem } from "../../kit/problem.ts";
import { Sqlite } from "./driver.ts";

/** Who holds a data directory. */
export type Holder = { pid: number; url?: string | undefined; since: string };

const holderShape: z.ZodType<Holder> = z.object({
  pid: z.number(),
  url: z.string().optional(),
  since: z.string(),
});

export type DataLock = {
  /** Tells other processes where the service listens. */
  announce: (service: { url: string }) => void;
  release: () => void;
};

const holderFile = (dir: string): string => join(dir, "service.json");

const readHolder = (dir: string): Holder | undefined => {
  try {
    return holderShape.parse(JSON.parse(readFileSync(holderFile(dir), "utf8")));
  } catch {
    return undefined;
  }
};

const isBusy = (error: unknown): boolean =>
  error instanceof Sqlite.SqliteError && error.code.startsWith("SQLITE_BUSY");

/** Takes the lock, or says who has it. Creates the directory, readable by its owner only. */
export const tryLockData = (dir: string): DataLock | { holder: Holder | undefined } => {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, "remit.lock");
  const db = new Sqlite(file, { timeout: 0 });
  try {
    chmodSync(file, 0o600);
    db.exec("begin exclusive");
  } catch (error) {
    db.close();
    if (!isBusy(error)) throw error;
    return { holder: readHolder(dir) };
  }
  const since = new Date().toISOString();
  const write = (holder: Holder): void =>
    writeFileSync(holderFile(dir), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
  write({ pid: process.pid, since });
  return {
    announce: ({ url }) => write({ pid: process.pid, url, since }),
    release: () => {
      rmSync(holderFile(dir), { force: true });
      db.close();
    },
  };
};

/** Takes the lock. @throws Problem `conflict` naming the process that holds it */
export const lockData = (dir: string): DataLock => {
  const lock = tryLockData(dir);
  if (!("holder" in lock)) return lock;
  const { holder } = lock;
  const who = holder
    ? `process ${holder.pid}${holder.url === undefined ? "" : ` (${holder.url})`}`
    : "another process";
  throw new Problem("conflict", `the data directory \`${dir}\` is held by ${who}`, { field: "data" });
};
