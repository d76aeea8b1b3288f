/** Runs as rows. */
import type { Database } from "better-sqlite3";
import { recentMax } from "../../budget/runaway.ts";
import type { RunClaim, RunRow, RunRows } from "../acts/runs.ts";
import { createDeferred, type Deferred } from "./deferred.ts";

const counterOfBegun = (db: Database): RunRows["begunBy"] => {
  const begun = db
    .prepare<[string, number], number>("select count(*) from run where agent = ? and started_at > ?")
    .pluck();
  return (agent, since) => begun.get(agent, since)!;
};

const memoryOf = (db: Database): RunRows["remember"] => {
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

/** What was done in a run. */
export type RunCount = { run: string; calls: number; usdMicros: number };

/** Counts of runs, one write for each run. */
export const createCounts = (db: Database): Deferred<RunCount> => {
  const update = db.prepare("update run set calls = calls + ?, usd_micros = usd_micros + ? where id = ?");
  return createDeferred((counts) => {
    const sums = new Map<string, RunCount>();
    for (const { run, calls, usdMicros } of counts) {
      const sum = sums.get(run);
      if (sum) {
        sum.calls += calls;
        sum.usdMicros += usdMicros;
      } else sums.set(run, { run, calls, usdMicros });
    }
    for (const { run, calls, usdMicros } of sums.values()) update.run(calls, usdMicros, run);
  });
};

const rememberedMax = 10_000;

/** Runs as rows, remembered from one question to the next: only the writer changes them. */
const createRows = (db: Database, counts: Deferred<RunCount>) => {
  const find = db.prepare<[string], RunRow>("select * from run where id = ?");
  const insert = db.prepare(
    "insert into run (id, caller, agent, parent, started_at, depth) values (?, ?, ?, ?, ?, ?)",
  );
  const remembered = new Map<string, RunRow>();
  const remember = (row: RunRow): RunRow => {
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(row.id, row);
    return row;
  };
  const rowOf = (id: string): RunRow | undefined => {
    const known = remembered.get(id);
    if (known) return known;
    counts.write();
    const row = find.get(id);
    return row && remember(row);
  };
  return {
    find: rowOf,
    insert: ({ id, caller, agent, parent, at, depth }: RunClaim & { depth: number }): void => {
      insert.run(id, caller, agent, parent ?? null, at, depth);
    },
    count: (id: string, calls: number, usdMicros: number): void => {
      counts.add({ run: id, calls, usdMicros });
      const row = remembered.get(id);
      if (!row) return;
      row.calls += calls;
      row.usd_micros += usdMicros;
    },
  };
};

/** What it remembers was committed or is written in this act: make another after a rollback. */
export const runRows = (db: Database, counts: Deferred<RunCount>): RunRows => {
  const rows = createRows(db, counts);
  const rank = db
    .prepare<[string, number, number, string], number>(
      "select count(*) from run where parent = ? and (started_at < ? or (started_at = ? and id <= ?))",
    )
    .pluck();
  const recent = db.prepare<[string], { n: number; fingerprint: string; at: number }>(
    `select n, fingerprint, at from recent_question where run = ? order by n desc limit ${recentMax}`,
  );
  return {
    ...rows,
    rank: ({ id, parent, started_at }) => rank.get(parent, started_at, started_at, id)!,
    begunBy: counterOfBegun(db),
    recent: (run) => recent.all(run),
    remember: memoryOf(db),
  };
};
