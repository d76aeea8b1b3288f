/** Runs on the working set. */
import { recentMax } from "../../budget/runaway.ts";
import type { RunRow, RunRows } from "../acts/runs.ts";
import type { WorkingSet } from "./working-set.ts";

type Question = { run: string; n: number; at: number; fingerprint: string };

const counted = (rows: readonly { readonly count?: unknown }[]): number => Number(rows[0]?.count ?? 0);

export const runRows = (set: WorkingSet): RunRows => {
  const find = (id: string): RunRow | undefined =>
    set.one<RunRow>("run", "run", [id], (row) => row.id === id);
  /** Runs that were begun in this commit. */
  const begun = (): RunRow[] =>
    set.changedIn<RunRow>("run").filter(({ id }) => set.ask("run", id).length === 0);
  const recent = (run: string): Question[] =>
    set
      .rows<Question>("recent_question", "recent", [run], (row) => row.run === run)
      .sort((a, b) => b.n - a.n);
  return {
    find,
    insert: ({ id, caller, agent, parent, at, depth }) =>
      set.put("run", {
        id,
        caller,
        agent,
        parent: parent ?? null,
        started_at: at,
        depth,
        calls: 0,
        usd_micros: 0,
      }),
    rank: ({ id, parent, started_at }) =>
      // Of one that is kept its id says enough, so that it can be asked for before the run is known.
      counted(
        set.ask("run", id).length > 0
          ? set.ask("rankOfRun", id)
          : set.ask("runsBefore", parent, started_at, id),
      ) +
      begun().filter((row) => {
        if (row.parent !== parent) return false;
        return row.started_at < started_at || (row.started_at === started_at && row.id <= id);
      }).length,
    begunBy: (agent, since) =>
      counted(set.ask("runsBegun", agent, since)) +
      begun().filter((row) => row.agent === agent && row.started_at > since).length,
    count: (id, calls, usdMicros) => {
      const row = find(id);
      if (row) set.put("run", { ...row, calls: row.calls + calls, usd_micros: row.usd_micros + usdMicros });
    },
    recent: (run) => recent(run).slice(0, recentMax),
    remember: (run, fingerprint, at) => {
      const before = recent(run);
      const n = (before[0]?.n ?? 0) + 1;
      set.put("recent_question", { run, n, at, fingerprint });
      for (const row of before) if (row.n <= n - recentMax) set.remove("recent_question", row);
    },
  };
};
