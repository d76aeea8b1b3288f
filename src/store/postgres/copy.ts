/** Takes a whole ledger of another store in, in one transaction: all of it, or nothing. */
import { assert } from "../../kit/assert.ts";
import { Problem } from "../../kit/problem.ts";
import type { Dump, DumpedRow } from "../acts/dump.ts";
import { openPool, transaction } from "./open.ts";
import { agentKeyRow } from "./agent-keys.ts";
import { delegationRow } from "./delegations.ts";
import { holdRow } from "./holds.ts";
import { killRow } from "./kills.ts";
import { legalHoldRow } from "./legal-holds.ts";
import { hexOf, insertInto } from "./rows.ts";
import { locks } from "./schema.ts";
import { type Column, type Row, tables } from "./tables.ts";

/** Tables that acts don't write, or not all columns of. */
const more: Readonly<Record<string, Readonly<Record<string, Column>>>> = {
  alert_delivery: {
    alert: "text",
    sink: "text",
    state: "text",
    attempts: "bigint",
    next_at: "bigint",
    done_at: "bigint",
    error: "text",
  },
  checkpoint: { size: "bigint", root: "bytea", note: "text", at: "bigint" },
  pruned: { one: "bigint", before: "bigint", latest: "bigint", disorder: "bigint" },
  pruned_balance: { budget: "text", account: "text", start: "bigint", used: "bigint", held: "bigint" },
  pruned_chain: { key: "text", count: "bigint", leaf_hash: "bytea" },
  stream_cursor: { name: "text", idx: "bigint" },
  tile: { level: "bigint", idx: "bigint", hashes: "bytea" },
};

/** The columns of each table that is taken in. */
export const columnsOf = (table: string): Readonly<Record<string, Column>> | undefined =>
  more[table] ?? Object.entries(tables).find(([name]) => name === table)?.[1].columns;

const batchRows = 500;

/** Rows of what goes whole. */
const rowsOfWholes: Readonly<Record<string, (whole: never) => Row>> = {
  agent_key: agentKeyRow,
  delegation: delegationRow,
  hold: holdRow,
  kill: killRow,
  legal_hold: legalHoldRow,
};

const rowOf = (table: string, row: DumpedRow): Row => {
  const { whole } = row;
  const make = rowsOfWholes[table];
  if (typeof whole === "string" && make) return make(JSON.parse(whole) as never);
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? hexOf(value) : value]),
  );
};

/**
 * Copies rows into a database that has no ledger yet; gives how many. `progress` hears how many so far.
 * @throws Problem `conflict` where there is a ledger, `not_ready` where the database can't be used
 */
export const copyInto = async (
  url: string,
  rows: Dump,
  progress: (done: number) => void,
): Promise<number> => {
  const pool = await openPool(url, () => undefined, { statementMs: 600_000 });
  try {
    return await transaction(pool, `select pg_advisory_xact_lock(${locks.order})`, async (client) => {
      const { rows: found } = await client.query<{ there: boolean }>(
        `select exists (select 1 from entry) or exists (select 1 from agent) or exists (select 1 from account)
           or exists (select 1 from checkpoint where size > 0) as there`,
      );
      if (found[0]?.there === true)
        throw new Problem("conflict", "there is a ledger in the database already: nothing was copied");
      // An empty tree may have been signed by whoever looked at the database before.
      await client.query("delete from checkpoint");
      await client.query("delete from pruned");
      let done = 0;
      let batch: { table: string; rows: Row[] } = { table: "", rows: [] };
      const flush = async (): Promise<void> => {
        const columns = columnsOf(batch.table);
        assert(columns, `rows of \`${batch.table}\` have no place here`);
        await insertInto(client, batch.table, columns, batch.rows);
        done += batch.rows.length;
        progress(done);
      };
      for (const { table, row } of rows) {
        if (batch.table !== table || batch.rows.length >= batchRows) {
          if (batch.rows.length > 0) await flush();
          batch = { table, rows: [] };
        }
        batch.rows.push(rowOf(table, row));
      }
      if (batch.rows.length > 0) await flush();
      return done;
    });
  } finally {
    await pool.end();
  }
};
