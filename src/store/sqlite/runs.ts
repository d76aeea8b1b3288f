/** Runs: bound at first sight to caller, agent and parent; counted for runaway protection. */
import type { Database } from "better-sqlite3";
import { recentMax, type RunState } from "../../budget/runaway.ts";
import type { Micros } from "../../kit/clock.ts";

export type RunClaim = { id: string; caller: string; agent: string; parent?: string; at: Micros };

type Row = {
  id: string;
  caller: string;
  agent: string;
  parent: string | null;
  started_at: number;
  depth: number;
  calls: number;
  usd_micros: number;
};

/** What about a claim differs from what the run, or one above it, was begun as. */
export type RunConflict = { run: string; differs: "caller" | "agent" | "parent_run" };

export type Runs = {
  /** Binds a run at first sight, unless it or one above it was begun by others; afterwards says what differs. */
  bind: (claim: RunClaim) => RunConflict | undefined;
  /** Whether it was begun. */
  known: (id: string) => boolean;
  /** How many runs an agent began since then. */
  begunBy: (agent: string, since: Micros) => number;
  /** The run and those above it, nearest first. */
  lineage: (id: string) => string[];
  state: (run: string, at: Micros) => RunState;
  /** Remembers a question of a run. */
  remember: (run: string, fingerprint: string, at: Micros) => void;
  /** Adds to what a run has done, and the runs above it. */
  count: (run: string, calls: number, usdMicros: number) => void;
};

/** Deeper than any cap: a guard against runs that claim one another. */
const lineageMax = 64;

const counterOfBegun = (db: Database): Runs["begunBy"] => {
  const begun = db
    .prepare<[string, number], number>("select count(*) from run where agent = ? and started_at > ?")
    .pluck();
  return (agent, since) => begun.get(agent, since)!;
};

const memoryOf = (db: Database): Runs["remember"] => {
  const last = db
    .prepare<[string], number | null>("select max(n) from recent_question where run = ?")
    .pluck();
  const remember = db.prepare("insert into recent_question (run, n, at, fingerprint) values (?, ?, ?, ?)");
  const forget = db.prepare("delete from recent_question where run = ? and n <= ?");
  return (run, fingerprint, at) => {
    const n = (last.get(run) ?? 0) + 1;
    remember.run(run, n, at, fingerprint);
    forget.run(run, n - recentMax);
  };
};

const rememberedMax = 10_000;

/** Runs as rows, remembered from one question to the next: only the writer changes them. */
const createRows = (db: Database) => {
  const find = db.prepare<[string], Row>("select * from run where id = ?");
  const insert = db.prepare(
    "insert into run (id, caller, agent, parent, started_at, depth) values (?, ?, ?, ?, ?, ?)",
  );
  const count = db.prepare("update run set calls = calls + ?, usd_micros = usd_micros + ? where id = ?");
  const remembered = new Map<string, Row>();
  const remember = (row: Row): Row => {
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(row.id, row);
    return row;
  };
  const rowOf = (id: string): Row | undefined => {
    const known = remembered.get(id);
    if (known) return known;
    const row = find.get(id);
    return row && remember(row);
  };
  return {
    find: rowOf,
    insert: ({ id, caller, agent, parent, at, depth }: RunClaim & { depth: number }): void => {
      insert.run(id, caller, agent, parent ?? null, at, depth);
    },
    count: (id: string, calls: number, usdMicros: number): void => {
      count.run(calls, usdMicros, id);
      const row = remembered.get(id);
      if (!row) return;
      row.calls += calls;
      row.usd_micros += usdMicros;
    },
  };
};

/** What it remembers was committed or is written in this act: make another after a rollback. */
export const createRuns = (db: Database): Runs => {
  const rows = createRows(db);
  const rank = db
    .prepare<[string, number, number, string], number>(
      "select count(*) from run where parent = ? and (started_at < ? or (started_at = ? and id <= ?))",
    )
    .pluck();
  const recent = db.prepare<[string], { n: number; fingerprint: string; at: number }>(
    `select n, fingerprint, at from recent_question where run = ? order by n desc limit ${recentMax}`,
  );
  const lineage = (id: string): string[] => {
    const found = [id];
    for (
      let row = rows.find(id);
      row !== undefined && row.parent !== null && found.length < lineageMax;
      row = rows.find(row.parent)
    ) {
      if (found.includes(row.parent)) break;
      found.push(row.parent);
    }
    return found;
  };
  return {
    bind: ({ id, caller, agent, parent, at }) => {
      const row = rows.find(id);
      if (row && row.caller !== caller) return { run: id, differs: "caller" };
      if (row && row.agent !== agent) return { run: id, differs: "agent" };
      // Said once is enough; said otherwise is a contradiction.
      if (row && parent !== undefined && row.parent !== parent) return { run: id, differs: "parent_run" };
      // What is spent in a run is spent in those above it: nobody spends in another caller's.
      const above = row?.parent ?? parent;
      const foreign = (above === undefined ? [] : lineage(above)).find(
        (other) => (rows.find(other)?.caller ?? caller) !== caller,
      );
      if (foreign !== undefined) return { run: foreign, differs: "caller" };
      if (row) return undefined;
      const depth = above === undefined ? 0 : (rows.find(above)?.depth ?? 0) + 1;
      rows.insert({ id, caller, agent, at, depth, ...(above === undefined ? {} : { parent: above }) });
      return undefined;
    },
    known: (id) => rows.find(id) !== undefined,
    begunBy: counterOfBegun(db),
    lineage,
    state: (run, at) => {
      const row = rows.find(run);
      return {
        startedAt: row?.started_at ?? at,
        calls: row?.calls ?? 0,
        // Money spent in a run is spent in those above it, too: the one that has spent most comes up against the cap first.
        usdMicros:
          run === undefined ? 0 : Math.max(...lineage(run).map((id) => rows.find(id)?.usd_micros ?? 0)),
        children:
          row === undefined || row.parent === null
            ? 0
            : rank.get(row.parent, row.started_at, row.started_at, row.id)!,
        depth: row?.depth ?? 0,
        recent: recent.all(run),
      };
    },
    remember: memoryOf(db),
    count: (run, calls, usdMicros) => {
      for (const id of lineage(run)) rows.count(id, id === run ? calls : 0, usdMicros);
    },
  };
};
