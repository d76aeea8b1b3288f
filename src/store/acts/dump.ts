/** A ledger row by row, as it goes from one store into another. */

/** A row by its columns, in the words of the tables that several processes share; or `whole`, JSON of what it is of. */
export type DumpedRow = Readonly<Record<string, string | number | boolean | Uint8Array | null>>;

/** Rows of one table after those of another. */
export type Dump = Iterable<{ table: string; row: DumpedRow }>;
