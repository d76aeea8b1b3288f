/** Connections to the database: each with limits of time, so that no question waits for ever. */
import { Client, type default as pg, Pool, types } from "pg";
import { Problem } from "../../kit/problem.ts";
import { ended } from "./ended.ts";
import { assertNewest, migrate } from "./schema.ts";

/** How long anything may take; over it nothing was decided. */
export type Limits = {
  statementMs: number;
  lockMs: number;
  connectMs: number;
  /** How long a transaction may wait for this process: whoever is gone mustn't keep the others from the order of entries. */
  silentMs: number;
  connectionsMax: number;
};

const usualLimits: Limits = {
  statementMs: 5000,
  lockMs: 5000,
  connectMs: 5000,
  silentMs: 2000,
  connectionsMax: 8,
};

/** What is counted stays within what a number holds exactly: sums beyond it are refused where they arise. */
const numbers = new Set<number>([types.builtins.INT8, types.builtins.NUMERIC]);

/** Integers of 64 bits, and sums of them, as numbers. */
const parsers: pg.CustomTypesConfig = {
  // oxlint-disable-next-line typescript/no-unsafe-return -- what the library parses otherwise
  getTypeParser: (oid, format) => (numbers.has(oid) ? Number : types.getTypeParser(oid, format)),
};

/**
 * Opens a pool and brings the tables to the newest version. TLS is as the URL says (`sslmode=verify-full`). `warn` hears of
 * connections that broke while nobody used them.
 * @throws Problem `not_ready` when the database can't be used
 */
export const openPool = (
  url: string,
  warn: (warning: string) => void,
  given: Partial<Limits> = {},
): Promise<pg.Pool> => prepared(url, warn, { ...usualLimits, ...given }, migrate);

/**
 * Opens a pool for reading: the tables are left as they are.
 * @throws Problem `not_ready` when the database can't be used, or its tables are of another version
 */
export const openReading = (url: string): Promise<pg.Pool> =>
  prepared(url, () => undefined, { ...usualLimits, statementMs: 60_000 }, assertNewest);

/** A pool whose tables were prepared by a connection of its own. */
const prepared = async (
  url: string,
  warn: (warning: string) => void,
  limits: Limits,
  prepare: (client: Client) => Promise<void>,
): Promise<pg.Pool> => {
  const pool = new Pool({
    connectionString: url,
    types: parsers,
    application_name: "remit",
    max: limits.connectionsMax,
    connectionTimeoutMillis: limits.connectMs,
    statement_timeout: limits.statementMs,
    lock_timeout: limits.lockMs,
    idle_in_transaction_session_timeout: limits.silentMs,
    // The server's own limits don't end a wait for a server that is gone.
    query_timeout: limits.statementMs + 1000,
  });
  pool.on("error", (error) => warn(`a connection to the database broke: ${error.message}`));
  // One that breaks between two statements of a transaction says so here, too: its next statement fails by itself.
  pool.on("connect", (client) => void client.on("error", () => undefined));
  // Not one of the pool: tables with millions of rows take as long as they take.
  const client = new Client({ connectionString: url, connectionTimeoutMillis: limits.connectMs });
  // What it was asked fails by itself.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await prepare(client);
    await client.end();
  } catch (cause) {
    await ended(client.end());
    await ended(pool.end());
    if (cause instanceof Problem) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Problem("not_ready", `the database can't be used: ${why}`, { cause });
  }
  return pool;
};

type Work<T> = (client: pg.PoolClient) => Promise<T>;

const between = async <T>(pool: pg.Pool, begin: string, work: Work<T>): Promise<T> => {
  const client = await pool.connect();
  try {
    await client.query(begin);
    const value = await work(client);
    await client.query("commit");
    client.release();
    return value;
  } catch (error) {
    // What it was in the middle of is not known: it is closed, which rolls back.
    client.release(true);
    throw error;
  }
};

/** Runs `work` in a transaction whose commit is durable, with statements that each see what was committed before. */
export const transaction = <T>(pool: pg.Pool, first: string, work: Work<T>): Promise<T> =>
  between(pool, `begin isolation level read committed; set local synchronous_commit = on; ${first}`, work);

/** Reads all that `read` asks as of one moment. */
export const snapshot = <T>(pool: pg.Pool, read: Work<T>): Promise<T> =>
  between(pool, "begin isolation level repeatable read read only", read);
