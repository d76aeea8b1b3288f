/** What is done with a PostgreSQL ledger as a whole: its tables are brought forward, it is looked over, a ledger's file goes into it. */
import { existsSync } from "node:fs";
import { refuseToDecide } from "./app-stores.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { Problem } from "./kit/problem.ts";
import { systemClock } from "./kit/clock.ts";
import { knownCheckpoints } from "./ledger/anchor.ts";
import { readLedgerKeys, signerFile } from "./ledger/key-file.ts";
import { verifyLog } from "./ledger/verify-log.ts";
import { copyInto } from "./store/postgres/copy.ts";
import { type Ledger, openLedger } from "./store/postgres/ledger.ts";
import { openPool } from "./store/postgres/open.ts";
import { versionOf } from "./store/postgres/schema.ts";
import { openDump } from "./store/sqlite/dump.ts";
import { lockData } from "./store/sqlite/lock.ts";

/** @throws Problem `invalid_request` where the ledger is a file */
const urlOf = ({ store }: Config): string => {
  if (store === undefined)
    throw new Problem("invalid_request", "must be the URL of a PostgreSQL database", { field: "store" });
  return store;
};

/** Brings the tables to the version of this service, which needs a role that may; gives the version. */
export const migrateStore = async (config: Config): Promise<number> => {
  const pool = await openPool(urlOf(config), () => undefined, { statementMs: 600_000 });
  try {
    return await versionOf(pool);
  } finally {
    await pool.end();
  }
};

const opened = (config: Config): Promise<Ledger> => {
  const { data, engine, ledger } = config;
  const url = urlOf(config);
  if (!existsSync(signerFile(data)))
    throw new Problem("not_found", `there are no keys of the ledger in \`${data}\``);
  const bound = { judge: refuseToDecide, admit: refuseToDecide, engine };
  const known = knownCheckpoints(data, ledger.anchor);
  const tree = { keys: readLedgerKeys(data), known, at: systemClock()() };
  return openLedger(url, bound, { tree });
};

/** What was found; without faults all is well. */
export type StoreChecked = { entries: number; faults: string[] };

type Progress = (done: number) => void;

const lookOver = async (ledger: Ledger, config: Config, progress: Progress): Promise<StoreChecked> => {
  const writable = await ledger.writable();
  const checkpoint = await ledger.checkpoint(systemClock()());
  const source = { checkpoint: async () => checkpoint, tile: ledger.tile, closing: ledger.closing };
  const { verifiers } = readLedgerKeys(config.data);
  const verified = await verifyLog(source, { keys: verifiers, checkpoints: [] }, progress);
  const balances = await ledger.auditBalances();
  return {
    entries: verified.size,
    faults: [
      ...(writable.ok ? [] : [`it takes no writes: ${writable.error}`]),
      ...verified.faults.map(({ index, message }) =>
        index === undefined ? message : `entry ${index}: ${message}`,
      ),
      ...balances.map(({ budget, account, message }) => `budget \`${budget}\`, \`${account}\`: ${message}`),
    ],
  };
};

/** Looks the ledger over: whether it takes writes, its log verifies, and balances are what entries say. */
export const checkStore = async (config: Config, progress: Progress): Promise<StoreChecked> => {
  const ledger = await opened(config);
  try {
    return await lookOver(ledger, config, progress);
  } finally {
    await ledger.close();
  }
};

/**
 * Copies the ledger of the data directory into the database, which has none, and looks the copy over; gives its entries.
 * @throws Problem `conflict` while a service runs, where the database has a ledger, or where the copy isn't what was copied
 */
export const copyStore = async (config: Config, progress: Progress): Promise<number> => {
  const file = ledgerFile(config.data);
  if (!existsSync(file)) throw new Problem("not_found", `there is no ledger at \`${file}\``);
  const lock = lockData(config.data);
  try {
    const dump = openDump(file);
    try {
      await copyInto(urlOf(config), dump.rows, progress);
    } finally {
      dump.close();
    }
    const { entries, faults } = await checkStore(config, () => undefined);
    if (faults.length > 0)
      throw new Problem("conflict", `the copy isn't what was copied: ${faults[0]}; empty the database`);
    return entries;
  } finally {
    lock.release();
  }
};
