/**
 * The rows that acts work on, in memory. Acts are synchronous: they read what was fetched, and what wasn't is noted as
 * wanted, fetched, and the acts are done again from the start. What they change goes to the database in one statement.
 */
import { assert } from "../../kit/assert.ts";
import { queries, type QueryName, type Row, type TableName, tables } from "./tables.ts";

/** Something to be fetched: a query and its parameters. */
export type Want = { query: QueryName; of: readonly unknown[] };

/** What was fetched, by query and parameters. */
export type Fetched = Map<string, { want: Want; rows: readonly Row[] }>;

export type Change = { table: TableName; puts: Row[]; removes: Row[] };

export type WorkingSet = {
  /** What the database answered; nothing, and a want, where it wasn't asked yet. */
  ask: (query: QueryName, ...of: unknown[]) => readonly Row[];
  /** The rows of a table that a query finds, with what was changed since. `has` says which rows those are. */
  rows: <R extends Row>(
    table: TableName,
    query: QueryName,
    of: readonly unknown[],
    has: (row: R) => boolean,
  ) => R[];
  /** The one row that a query finds; the database isn't asked for one that was put here. */
  one: <R extends Row>(
    table: TableName,
    query: QueryName,
    of: readonly unknown[],
    has: (row: R) => boolean,
  ) => R | undefined;
  /** Rows that were put, here. */
  changedIn: <R extends Row>(table: TableName) => R[];
  /** Whether any row of it was put or removed. */
  touched: (table: TableName) => boolean;
  put: (table: TableName, row: Row) => void;
  remove: (table: TableName, row: Row) => void;
  atomically: <T>(act: () => T) => T;
  wants: () => Want[];
  changes: () => Change[];
};

export const wantKey = ({ query, of }: Want): string => `${query} ${JSON.stringify(of)}`;

const keyOf = (table: TableName, row: Row): string =>
  JSON.stringify(tables[table].key.map((column) => row[column]));

/** A set over what was fetched, which it leaves as it is. */
export const createWorkingSet = (fetched: Fetched): WorkingSet => {
  const wanted = new Map<string, Want>();
  // Rows that were changed; undefined for one that was removed.
  const changed = new Map<TableName, Map<string, Row | undefined>>();
  const removed = new Map<string, Row>();
  const undo: (() => void)[] = [];
  const ask: WorkingSet["ask"] = (query, ...of) => {
    const want = { query, of };
    const key = wantKey(want);
    const found = fetched.get(key);
    if (!found) wanted.set(key, want);
    return found?.rows ?? [];
  };
  const write = (table: TableName, row: Row, value: Row | undefined): void => {
    const rows = changed.get(table) ?? new Map<string, Row | undefined>();
    changed.set(table, rows);
    const key = keyOf(table, row);
    const [had, before] = [rows.has(key), rows.get(key)];
    undo.push(() => void (had ? rows.set(key, before) : rows.delete(key)));
    rows.set(key, value);
    if (value === undefined) removed.set(`${table} ${key}`, row);
  };
  const changedIn = <R extends Row>(table: TableName): R[] =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- rows are as their table is declared
    [...(changed.get(table)?.values() ?? [])].filter((row) => row !== undefined) as R[];
  const rowsOf = <R extends Row>(
    table: TableName,
    query: QueryName,
    of: readonly unknown[],
    has: (row: R) => boolean,
  ): R[] => {
    assert(queries[query].of === table, "the query is of another table");
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- rows are as their table is declared
    const kept = ask(query, ...of) as readonly R[];
    const rows = changed.get(table);
    if (!rows) return [...kept];
    return [...kept.filter((row) => !rows.has(keyOf(table, row))), ...changedIn<R>(table).filter(has)];
  };
  return {
    ask,
    rows: rowsOf,
    one: <R extends Row>(
      table: TableName,
      query: QueryName,
      of: readonly unknown[],
      has: (row: R) => boolean,
    ): R | undefined => changedIn<R>(table).find(has) ?? rowsOf(table, query, of, has)[0],
    changedIn,
    touched: (table) => (changed.get(table)?.size ?? 0) > 0,
    put: (table, row) => write(table, row, row),
    remove: (table, row) => write(table, row, undefined),
    atomically: (act) => {
      const mark = undo.length;
      try {
        return act();
      } catch (error) {
        while (undo.length > mark) undo.pop()!();
        throw error;
      }
    },
    wants: () => [...wanted.values()],
    changes: () =>
      [...changed].map(([table, rows]) => ({
        table,
        puts: [...rows.values()].filter((row) => row !== undefined),
        removes: [...rows].flatMap(([key, row]) =>
          row === undefined ? [removed.get(`${table} ${key}`)!] : [],
        ),
      })),
  };
};
