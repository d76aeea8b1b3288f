/**
 * Finds entries: each condition that has an index is a list of positions in order; the shortest of them is walked, and
 * the others are looked up. Time bounds the positions, so nothing outside a period is looked at.
 */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import { chainName } from "../../ledger/entry.ts";
import type { FacetKind } from "../../ledger/facets.ts";
import type { EntryFilter } from "../../ledger/store.ts";
import { searchState } from "./facets.ts";

/** Positions under any of these keys, in the order of each. */
type Postings = {
  table: "entry_agent" | "entry_facet" | "entry_trace" | "entry";
  column: string;
  keys: (string | number)[];
};

type Bounds = { low: number; high: number };

const none: Bounds = { low: 0, high: -1 };

const pseudonymsOf = (db: Database, condition: string, values: readonly string[]): string[] =>
  db
    .prepare<unknown[], string>(`select name from pseudonym where ${condition}`)
    .pluck()
    .all(...values);

/** What someone or something goes by in records: the id, and pseudonyms that still stand for it. */
const entityNames = (db: Database, id: string): string[] => [
  id,
  ...pseudonymsOf(db, "kind in ('entity', 'type') and id = ?", [id]),
];

/** An id that is too long for a chain goes by its digest there; entries of earlier versions are found by it as it is. */
const agentNames = (db: Database, id: string): string[] => [
  ...new Set(entityNames(db, id).flatMap((name) => [name, chainName(name)])),
];

const facetIds = (db: Database, kind: FacetKind, values: readonly string[]): number[] => {
  const find = db
    .prepare<[string, string], number>("select id from facet where kind = ? and value = ?")
    .pluck();
  return values.flatMap((value) => find.get(kind, value) ?? []);
};

const facetValues = (db: Database, filter: EntryFilter): [FacetKind, string[]][] => {
  const { kind, user, run, action, reason, policy, of } = filter;
  return [
    ...(kind === undefined || kind === "decision" ? [] : [["kind", [kind]] as [FacetKind, string[]]]),
    ...(user === undefined ? [] : [["subject", entityNames(db, user)] as [FacetKind, string[]]]),
    ...(run === undefined
      ? []
      : [["run", pseudonymsOf(db, "kind = 'run' and type = '' and id = ?", [run])] as [FacetKind, string[]]]),
    ...(action === undefined
      ? []
      : [
          ["action", [action, ...pseudonymsOf(db, "kind = 'action' and type = '' and id = ?", [action])]] as [
            FacetKind,
            string[],
          ],
        ]),
    ...(reason === undefined ? [] : [["reason", [reason]] as [FacetKind, string[]]]),
    ...(policy === undefined ? [] : [["policy", [policy]] as [FacetKind, string[]]]),
    ...(of === undefined ? [] : [["decision", [of]] as [FacetKind, string[]]]),
  ];
};

const postingsOf = (db: Database, filter: EntryFilter): Postings[] => {
  const postings: Postings[] = facetValues(db, filter).map(([kind, values]) => ({
    table: "entry_facet",
    column: "facet",
    keys: facetIds(db, kind, values),
  }));
  const { agent, resource, trace } = filter;
  if (trace !== undefined) postings.push({ table: "entry_trace", column: "trace", keys: [trace] });
  if (agent !== undefined)
    postings.push({ table: "entry_agent", column: "agent", keys: agentNames(db, agent) });
  if (resource) {
    const { type, id } = resource;
    const names = pseudonymsOf(db, "kind in ('entity', 'type') and type = ? and id = ?", [type, id]);
    postings.push({ table: "entry", column: "resource", keys: [`${type}::${id}`, ...names] });
  }
  if (filter.decision === "deny") postings.push({ table: "entry", column: "denied", keys: [1] });
  return postings;
};

/** Where entries of a period can stand: no entry is dated more than the disorder before one that stands before it. */
const boundsOf = (db: Database, { from, to, cursor, order }: EntryFilter): Bounds => {
  const bounds: Bounds = { low: 0, high: Number.MAX_SAFE_INTEGER };
  const disorder = from === undefined && to === undefined ? 0 : searchState(db).disorder;
  const position = (condition: string, at: Micros): number | undefined =>
    db.prepare<[Micros], number>(`select idx from entry where at ${condition} limit 1`).pluck().get(at);
  if (from !== undefined) bounds.low = position("< ? order by at desc", from - disorder) ?? 0;
  if (to !== undefined) bounds.high = position(">= ? order by at", to + disorder) ?? bounds.high;
  if (cursor === undefined) return bounds;
  if (order === "asc") bounds.low = Math.max(bounds.low, cursor + 1);
  else bounds.high = Math.min(bounds.high, cursor - 1);
  return bounds;
};

const countedMax = 2000;

/** How many positions a list has between bounds, as far as it matters which is the shortest. */
const lengthOf = (db: Database, { table, column, keys }: Postings, { low, high }: Bounds): number => {
  const count = db
    .prepare<unknown[], number>(
      `select count(*) from (select 1 from ${table} where ${column} = ? and idx between ? and ? limit ${countedMax})`,
    )
    .pluck();
  return keys.reduce<number>((sum, key) => sum + count.get(key, low, high)!, 0);
};

const shortest = (db: Database, postings: readonly Postings[], bounds: Bounds): Postings | undefined => {
  if (postings.length < 2) return postings[0];
  const lengths = postings.map((each) => lengthOf(db, each, bounds));
  return postings[lengths.indexOf(Math.min(...lengths))];
};

type Condition = { sql: string; values: (string | number)[] };

const lookedUp = ({ table, column, keys }: Postings): Condition => {
  const wanted = `${column} in (${keys.map(() => "?").join()})`;
  const sql =
    table === "entry"
      ? `e.${wanted}`
      : `exists (select 1 from ${table} o where o.${wanted} and o.idx = e.idx)`;
  return { sql, values: keys };
};

const columnConditions = ({ decision, kind, from, to }: EntryFilter): Condition[] => [
  ...(decision === undefined
    ? []
    : [{ sql: "e.kind = 'decision' and e.denied = ?", values: [decision === "deny" ? 1 : 0] }]),
  ...(kind === "decision" ? [{ sql: "e.kind = 'decision'", values: [] }] : []),
  ...(from === undefined ? [] : [{ sql: "e.at >= ?", values: [from] }]),
  ...(to === undefined ? [] : [{ sql: "e.at < ?", values: [to] }]),
];

/** One list walked in order, with everything else looked up. */
const armOf = (
  key: string | number | undefined,
  walked: Postings | undefined,
  rest: Condition[],
): Condition => {
  const source =
    walked === undefined || walked.table === "entry"
      ? "entry e"
      : `${walked.table} p cross join entry e on e.idx = p.idx`;
  const position = walked === undefined || walked.table === "entry" ? "e.idx" : "p.idx";
  const where = [
    // `denied` has an index of the denied alone, which the planner takes for a literal only.
    ...(walked ? [walked.column === "denied" ? "e.denied = 1" : `${walked.column} = ?`] : []),
    `${position} between ? and ?`,
    ...rest.map(({ sql }) => sql),
  ];
  const keys = key === undefined || walked?.column === "denied" ? [] : [key];
  return { sql: `select ${position} as idx from ${source} where ${where.join(" and ")}`, values: keys };
};

/** The positions of the entries that a filter asks for, at most `limit`, in its order. */
export const findEntries = (db: Database, filter: EntryFilter, limit: number): number[] => {
  const postings = postingsOf(db, filter);
  const bounds = postings.some(({ keys }) => keys.length === 0) ? none : boundsOf(db, filter);
  if (bounds.low > bounds.high) return [];
  const walked = shortest(db, postings, bounds);
  const rest = [...postings.filter((each) => each !== walked).map(lookedUp), ...columnConditions(filter)];
  const arms = (walked?.keys ?? [undefined]).map((key) => armOf(key, walked, rest));
  const values = arms.flatMap((arm) => [
    ...arm.values,
    bounds.low,
    bounds.high,
    ...rest.flatMap((condition) => condition.values),
  ]);
  return db
    .prepare<unknown[], number>(
      `${arms.map(({ sql }) => sql).join(" union ")} order by 1 ${filter.order} limit ?`,
    )
    .pluck()
    .all(...values, limit);
};
