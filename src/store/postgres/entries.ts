/** Reads entries back, and finds them by what they say. */
import type pg from "pg";
import { chainName } from "../../ledger/entry.ts";
import type { FacetKind } from "../../ledger/facets.ts";
import type { EntryFilter, EntryPage, EntryShown } from "../../ledger/store.ts";
import { type EntryViewRow, type Lookup, type Name, shownOf, viewOf } from "../acts/entry-views.ts";
import { absentAmong } from "../acts/pruned.ts";
import { prunedState } from "./closing.ts";
import { readRows } from "./rows.ts";

/** What is read of entries. */
export type EntryViews = {
  entries: (filter: EntryFilter) => Promise<EntryPage>;
  /** The entry of this index or id. */
  entry: (ref: number | string) => Promise<EntryShown | undefined>;
};

type Query = Pick<pg.ClientBase, "query">;

type Row = { idx: number; leaf: Buffer; leaf_hash: Buffer; body: string | null };

const rowSql = `select e.idx, e.leaf, e.leaf_hash, d.body from entry e left join detail d on d.idx = e.idx`;

/** Which pseudonyms and holds views want. */
type Wanted = { names: Set<string>; decisions: Set<string> };

/** A lookup that knows nothing yet, and notes what it is asked. */
const notingIn = ({ names, decisions }: Wanted): Lookup => ({
  named: (name) => void names.add(name),
  holdOf: (decision) => void decisions.add(decision),
});

const lookupFor = async (pool: pg.Pool, rows: readonly EntryViewRow[]): Promise<Lookup> => {
  const wanted: Wanted = { names: new Set(), decisions: new Set() };
  for (const row of rows) viewOf(row, notingIn(wanted));
  const names = await readRows<Name & { name: string }>(
    pool,
    "select name, type, id from pseudonym where name = any($1)",
    [[...wanted.names]],
  );
  const holds = await readRows<{ decision: string; id: string }>(
    pool,
    "select decision, id from hold where decision = any($1)",
    [[...wanted.decisions]],
  );
  const named = new Map(names.map(({ name, type, id }) => [name, { type, id }]));
  const held = new Map(holds.map(({ decision, id }) => [decision, id]));
  return { named: (name) => named.get(name), holdOf: (decision) => held.get(decision) };
};

/** A condition, and what stands for `$` in it. */
type Condition = (add: (value: unknown) => string) => string;

const facet =
  (kind: FacetKind, values: Condition): Condition =>
  (add) =>
    `e.idx in (select idx from entry_facet where kind = ${add(kind)} and value in (${values(add)}))`;

const one =
  (value: string): Condition =>
  (add) =>
    `select ${add(value)}::text`;

/** What someone or something goes by in records: the id, and pseudonyms that still stand for it. */
const entityNames =
  (id: string): Condition =>
  (add) =>
    `select ${add(id)}::text union all select name from pseudonym where kind in ('entity', 'type') and id = ${add(id)}`;

const nameOf =
  (kind: "run" | "action", id: string): Condition =>
  (add) =>
    `select name from pseudonym where kind = ${add(kind)} and type = '' and id = ${add(id)}`;

/** An id that is too long for a chain goes by its digest there. */
const agentNames = async (pool: Query, id: string): Promise<string[]> => {
  const rows = await readRows<{ name: string }>(
    pool,
    "select name from pseudonym where kind in ('entity', 'type') and id = $1",
    [id],
  );
  return [...new Set([id, ...rows.map(({ name }) => name)].flatMap((name) => [name, chainName(name)]))];
};

const facetConditions = ({ kind, user, run, action, reason, policy, of }: EntryFilter): Condition[] => [
  ...(kind === undefined ? [] : [(add: (value: unknown) => string) => `e.kind = ${add(kind)}`]),
  ...(user === undefined ? [] : [facet("subject", entityNames(user))]),
  ...(run === undefined ? [] : [facet("run", nameOf("run", run))]),
  ...(action === undefined
    ? []
    : [facet("action", (add) => `${one(action)(add)} union all ${nameOf("action", action)(add)}`)]),
  ...(reason === undefined ? [] : [facet("reason", one(reason))]),
  ...(policy === undefined ? [] : [facet("policy", one(policy))]),
  ...(of === undefined ? [] : [facet("decision", one(of))]),
];

const plainConditions = ({
  resource,
  trace,
  decision,
  from,
  to,
  cursor,
  order,
}: EntryFilter): Condition[] => [
  ...(trace === undefined
    ? []
    : [
        (add: (value: unknown) => string) =>
          `e.idx in (select idx from entry_trace where trace = ${add(trace)})`,
      ]),
  ...(resource
    ? [
        (add: (value: unknown) => string) =>
          `e.resource in (select ${add(`${resource.type}::${resource.id}`)}::text union all
             select name from pseudonym where kind in ('entity', 'type')
               and type = ${add(resource.type)} and id = ${add(resource.id)})`,
      ]
    : []),
  ...(decision === undefined
    ? []
    : [() => `e.kind = 'decision' and ${decision === "deny" ? "e.denied" : "not e.denied"}`]),
  ...(from === undefined ? [] : [(add: (value: unknown) => string) => `e.at >= ${add(from)}`]),
  ...(to === undefined ? [] : [(add: (value: unknown) => string) => `e.at < ${add(to)}`]),
  ...(cursor === undefined
    ? []
    : [(add: (value: unknown) => string) => `e.idx ${order === "asc" ? ">" : "<"} ${add(cursor)}`]),
];

/** What entries are found by, all of it together. */
const whereOf = async (
  client: Query,
  filters: readonly Partial<EntryFilter>[],
  add: (value: unknown) => string,
): Promise<string[]> => {
  const where: string[] = [];
  for (const filter of filters) {
    const given = { order: "asc" as const, limit: 1, ...filter };
    for (const condition of [...facetConditions(given), ...plainConditions(given)])
      where.push(condition(add));
    if (given.agent !== undefined)
      where.push(
        `e.idx in (select idx from entry_agent where agent = any(${add(await agentNames(client, given.agent))}::text[]))`,
      );
  }
  return where;
};

const find = async (pool: Query, filter: EntryFilter, limit: number): Promise<Row[]> => {
  const values: unknown[] = [];
  const add = (value: unknown): string => `$${values.push(value)}`;
  const where = await whereOf(pool, [filter], add);
  return readRows<Row>(
    pool,
    `${rowSql} ${where.length === 0 ? "" : `where ${where.join(" and ")}`}
     order by e.idx ${filter.order} limit ${add(limit)}`,
    values,
  );
};

/** Whether there is an entry that all of these filters find, among some where they are given. */
export const isAnyEntry = async (
  client: Query,
  filters: readonly Partial<EntryFilter>[],
  among?: readonly number[],
): Promise<boolean> => {
  const values: unknown[] = [];
  const add = (value: unknown): string => `$${values.push(value)}`;
  const where = await whereOf(client, filters, add);
  if (among) where.push(`e.idx = any(${add(among)}::bigint[])`);
  const all = where.length === 0 ? "" : `where ${where.join(" and ")}`;
  const rows = await readRows(client, `select 1 as one from entry e ${all} limit 1`, values);
  return rows.length > 0;
};

/** The first entry that a filter finds. */
export const firstEntry = async (
  client: Query,
  filter: Partial<EntryFilter>,
): Promise<number | undefined> => {
  const [row] = await find(client, { ...filter, order: "asc", limit: 1 }, 1);
  return row?.idx;
};

export const createEntryViews = (pool: pg.Pool): EntryViews => ({
  entries: async (filter) => {
    const found = await find(pool, filter, filter.limit + 1);
    const page = found.slice(0, filter.limit);
    const lookup = await lookupFor(pool, page);
    const last = page.at(-1);
    const { before } = await prunedState(pool);
    return {
      entries: page.map((row) => viewOf(row, lookup)),
      ...(found.length > filter.limit && last ? { next: last.idx } : {}),
      ...(before > 0 ? { prunedBefore: before } : {}),
    };
  },
  entry: async (ref) => {
    const [row] = await readRows<Row>(
      pool,
      `${rowSql} where ${typeof ref === "number" ? "e.idx = $1::bigint" : "e.id = $1"}`,
      [ref],
    );
    if (!row) return absentAmong(await prunedState(pool), ref);
    return shownOf(row, await lookupFor(pool, [row]));
  },
});
