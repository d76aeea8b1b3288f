/** Rows between memory and the database: all that acts want in one statement, all that they changed in another. */
import type { ClientBase, QueryConfig } from "pg";
import { type Column, queries, type QueryName, type Row, type TableName, tables } from "./tables.ts";
import { type Change, type Fetched, type Want, wantKey } from "./working-set.ts";

/** Text of the database holds no U+0000, which ids of clients may: it goes as two characters that no other text becomes. */
const [nul, mark] = ["\u0000", "\u0001"];
const packed = (text: string): string => text.replaceAll(mark, `${mark}b`).replaceAll(nul, `${mark}a`);
const unpacked = (text: string): string => text.replaceAll(`${mark}a`, nul).replaceAll(`${mark}b`, mark);

const jsonOf = (value: unknown): string => {
  const text = JSON.stringify(value);
  // Looking at every part takes several times as long, and it is hardly ever there.
  if (!/\\u000[01]/.test(text)) return text;
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === "string" ? packed(part) : part));
};

/** A value as JSON that the database can look into: its JSON holds no U+0000 either, not even escaped. */
export const jsonText: (value: unknown) => string = jsonOf;

/** A value from such JSON. */
export const fromJsonText = (text: string): unknown =>
  text.includes("\\u0001")
    ? JSON.parse(text, (_key, part: unknown) => (typeof part === "string" ? unpacked(part) : part))
    : JSON.parse(text);

const isPacked = (value: unknown): value is string => typeof value === "string" && value.includes(mark);

const rowOf = (row: Row): Row =>
  Object.values(row).some(isPacked)
    ? Object.fromEntries(
        Object.entries(row).map(([column, value]) => [column, isPacked(value) ? unpacked(value) : value]),
      )
    : row;

/** Bytes as the database's JSON holds them. */
export const hexOf = (bytes: Uint8Array): string => `\\x${Buffer.from(bytes).toString("hex")}`;

/** Bytes from its JSON. */
export const bytesOf = (hex: string): Buffer => Buffer.from(hex.slice(2), "hex");

/** Statements that are made of parts, by their text. */
const names = new Map<string, string>();

/** Each connection keeps a plan of those that it was asked, so there is an end to them. */
const namesMax = 100;

/** A statement that the database parses and plans once for each connection, and not each time. */
const prepared = (text: string, values: string[]): QueryConfig => {
  if (!names.has(text) && names.size < namesMax) names.set(text, `remit_${names.size}`);
  const name = names.get(text);
  return name === undefined ? { text, values } : { name, text, values };
};

/** Fetches what is wanted, in one statement, into `fetched`. */
export const fetchRows = async (
  client: Pick<ClientBase, "query">,
  wants: readonly Want[],
  fetched: Fetched,
): Promise<void> => {
  if (wants.length === 0) return;
  const byQuery = new Map<QueryName, Want[]>();
  for (const want of wants) byQuery.set(want.query, [...(byQuery.get(want.query) ?? []), want]);
  // In one order: the same queries are the same statement.
  const groups = [...byQuery].sort(([a], [b]) => (a < b ? -1 : 1));
  const text = groups
    .map(
      ([query], position) =>
        `select '${query}' as query, w.n::int as n,
           (select coalesce(jsonb_agg(to_jsonb(r)), '[]') from (${queries[query].sql}) r) as rows
         from jsonb_array_elements($${position + 1}::jsonb) with ordinality as w(p, n)`,
    )
    .join(" union all ");
  const { rows: answers } = await client.query<{ query: QueryName; n: number; rows: Row[] }>(
    prepared(
      text,
      groups.map(([, group]) => jsonOf(group.map(({ of }) => of))),
    ),
  );
  for (const { query, n, rows } of answers) {
    const want = byQuery.get(query)![n - 1]!;
    fetched.set(wantKey(want), { want, rows: rows.map(rowOf) });
  }
};

const typed = (columns: Readonly<Record<string, Column>>): string =>
  Object.entries(columns)
    .map(([column, type]) => `${column} ${type}`)
    .join(", ");

const insertOf = (table: TableName, parameter: number): string => {
  const { key, columns, fixed, ignored } = tables[table];
  const names = Object.keys(columns);
  const others = names.filter((column) => !key.includes(column));
  const conflict = fixed
    ? ""
    : ignored
      ? ` on conflict (${key.join(", ")}) do nothing`
      : ` on conflict (${key.join(", ")}) do update set ${others.map((name) => `${name} = excluded.${name}`).join(", ")}`;
  return `insert into ${table} (${names.join(", ")})
    select ${names.join(", ")} from jsonb_to_recordset($${parameter}::jsonb) as t(${typed(columns)})${conflict}`;
};

const deleteOf = (table: TableName, parameter: number): string => {
  const { key, columns } = tables[table];
  const match = key.map((column) => `d.${column} = t.${column}`).join(" and ");
  return `delete from ${table} d using jsonb_to_recordset($${parameter}::jsonb) as t(${typed(columns)}) where ${match}`;
};

/** Writes what was changed, in one statement. */
export const writeRows = async (
  client: Pick<ClientBase, "query">,
  changes: readonly Change[],
): Promise<void> => {
  const parts: string[] = [];
  const values: string[] = [];
  for (const { table, puts, removes } of changes.toSorted((a, b) => (a.table < b.table ? -1 : 1))) {
    if (puts.length > 0) parts.push(insertOf(table, values.push(jsonOf(puts))));
    if (removes.length > 0) parts.push(deleteOf(table, values.push(jsonOf(removes))));
  }
  if (parts.length === 0) return;
  await client.query(
    prepared(`with ${parts.map((part, n) => `w${n} as (${part})`).join(", ")} select 1`, values),
  );
};

/** Parameters of a statement, as the database holds text. */
const packedParameter = (value: unknown): unknown => {
  if (typeof value === "string") return packed(value);
  return Array.isArray(value) ? value.map(packedParameter) : value;
};

/** Asks one statement and gives its rows. Text goes in and comes out as it is in memory. */
export const readRows = async <R extends Row>(
  client: Pick<ClientBase, "query">,
  statement: string,
  parameters: readonly unknown[] = [],
): Promise<R[]> => {
  const { rows } = await client.query<R>(statement, parameters.map(packedParameter));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its columns are as they were, but for what text stands for
  return rows.map((row) => rowOf(row) as R);
};

/** Writes new rows of one table; `conflict` says what becomes of those that are there already. */
export const insertInto = async (
  client: Pick<ClientBase, "query">,
  table: string,
  columns: Readonly<Record<string, Column>>,
  rows: readonly Row[],
  conflict = "",
): Promise<void> => {
  const names = Object.keys(columns).join(", ");
  await client.query(
    `insert into ${table} (${names})
     select ${names} from jsonb_to_recordset($1::jsonb) as t(${typed(columns)}) ${conflict}`,
    [jsonOf(rows)],
  );
};
