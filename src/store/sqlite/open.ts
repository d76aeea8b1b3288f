/** Opens the ledger's file so that what is committed stays: settings are made and checked at every open. */
import { closeSync, existsSync, openSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";
import { Sqlite } from "./driver.ts";
import { migrate } from "./schema.ts";

export type OpenOptions = {
  /** Most pages the file may have (4 KiB each); beyond it, writing fails as on a full disk. */
  pagesMax?: number;
};

const settings = {
  journal_mode: "wal",
  // Reopening a WAL database silently gives NORMAL, which loses acknowledged commits on a power cut.
  synchronous: 2,
  foreign_keys: 1,
  // Erased rows leave no bytes behind.
  secure_delete: 1,
  busy_timeout: 2000,
  // 64 MiB, in KiB below zero: new entries touch a page of each index for each agent and resource, more than the usual 2 MiB hold.
  cache_size: -65_536,
} as const;

const configure = (db: Database): void => {
  for (const [name, wanted] of Object.entries(settings)) {
    db.pragma(`${name} = ${wanted}`);
    const actual: unknown = db.pragma(name, { simple: true });
    if (actual !== wanted)
      throw new Problem("not_ready", `the ledger can't be opened safely: ${name} is \`${String(actual)}\``);
  }
};

/**
 * Opens or creates the file, readable by its owner only.
 * @throws Problem `not_ready` when it can't be opened safely or is of a later version
 */
export const openDatabase = (file: string, { pagesMax }: OpenOptions = {}): Database => {
  if (!existsSync(file)) closeSync(openSync(file, "wx", 0o600));
  const db = new Sqlite(file);
  try {
    configure(db);
    migrate(db);
    if (pagesMax !== undefined) db.pragma(`max_page_count = ${pagesMax}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
};
