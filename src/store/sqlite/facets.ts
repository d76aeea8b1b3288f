/**
 * Rows by which entries are found: agents, facets, traces, and how far entries are out of the order of time. They follow from
 * the entries, so they are written behind the answers, many at a time, and before anyone searches.
 */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject } from "../../kit/json.ts";
import { agentsOf, type Facet, facetsOf } from "../../ledger/facets.ts";

export type Facets = {
  /** Takes entries in, a step at a time; whether there are more. */
  step: () => boolean;
  /** Takes in all. */
  catchUp: () => void;
};

type LeafText = { chain: { k: string }[]; rec: JsonObject };

type Row = { idx: number; at: Micros; leaf: Buffer; trace: string | null };

const stepEntries = 2000;
const rememberedMax = 10_000;

/** Gives ids of facets; what it remembers is wrong once its transaction is rolled back. */
const createIds = (db: Database): { idOf: (facet: Facet) => number; forget: () => void } => {
  const find = db
    .prepare<[string, string], number>("select id from facet where kind = ? and value = ?")
    .pluck();
  const insert = db.prepare("insert into facet (kind, value) values (?, ?)");
  const remembered = new Map<string, number>();
  return {
    forget: () => remembered.clear(),
    idOf: ([kind, value]) => {
      const key = `${kind} ${value}`;
      const known = remembered.get(key);
      if (known !== undefined) return known;
      const id = find.get(kind, value) ?? Number(insert.run(kind, value).lastInsertRowid);
      if (remembered.size >= rememberedMax) remembered.clear();
      remembered.set(key, id);
      return id;
    },
  };
};

export const createFacets = (db: Database): Facets => {
  const { idOf, forget } = createIds(db);
  const state = db.prepare<[], { size: number; disorder: Micros }>("select size, disorder from search");
  const rows = db.prepare<[number], Row>(
    `select e.idx, e.at, e.leaf,
       case when instr(d.body, '"traceId":') > 0 then json_extract(d.body, '$.traceId') end as trace
     from entry e left join detail d on d.idx = e.idx where e.idx >= ? order by e.idx limit ${stepEntries}`,
  );
  const latestBefore = db
    .prepare<[number], Micros>(
      "select max(coalesce((select max(at) from entry where idx < ?), 0), (select latest from pruned))",
    )
    .pluck();
  const place = db.prepare("insert into entry_facet (facet, idx) values (?, ?)");
  // An earlier version wrote them with the entry.
  const placeAgent = db.prepare("insert or ignore into entry_agent (agent, idx) values (?, ?)");
  const placeTrace = db.prepare("insert into entry_trace (trace, idx) values (?, ?)");
  const advance = db.prepare("update search set size = ?, disorder = ?");
  let latest: { size: number; at: Micros } | undefined;
  const take = db.transaction((): boolean => {
    const { size, disorder } = state.get()!;
    const found = rows.all(size);
    if (found.length === 0) return false;
    let at = latest?.size === size ? latest.at : (latestBefore.get(size) ?? 0);
    let most = disorder;
    const places: [number, number][] = [];
    const agents: [string, number][] = [];
    for (const row of found) {
      const { chain, rec } = JSON.parse(row.leaf.toString("utf8")) as LeafText;
      for (const agent of agentsOf(
        chain.map(({ k }) => k),
        rec,
      ))
        agents.push([agent, row.idx]);
      for (const facet of facetsOf(rec)) places.push([idOf(facet), row.idx]);
      if (row.trace !== null) placeTrace.run(row.trace, row.idx);
      most = Math.max(most, at - row.at);
      at = Math.max(at, row.at);
    }
    // In the order of the table: neighbours are written together.
    places.sort(([a, i], [b, j]) => a - b || i - j);
    for (const [facet, index] of places) place.run(facet, index);
    agents.sort(([a, i], [b, j]) => (a === b ? i - j : a < b ? -1 : 1));
    for (const [agent, index] of agents) placeAgent.run(agent, index);
    advance.run(size + found.length, most);
    latest = { size: size + found.length, at };
    return found.length === stepEntries;
  });
  const step = (): boolean => {
    try {
      return take.immediate();
    } catch (error) {
      forget();
      latest = undefined;
      throw error;
    }
  };
  return {
    step,
    catchUp: () => {
      while (step());
    },
  };
};

/** How long before an entry that stands before it one is dated, at most, and of how many entries that is known. */
export const searchState = (db: Database): { size: number; disorder: Micros } =>
  db.prepare<[], { size: number; disorder: Micros }>("select size, disorder from search").get()!;
