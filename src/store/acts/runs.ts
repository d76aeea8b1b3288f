/** Runs: bound at first sight to caller, agent and parent; counted for runaway protection. */
import type { RunState } from "../../budget/runaway.ts";
import type { Micros } from "../../kit/clock.ts";

export type RunClaim = { id: string; caller: string; agent: string; parent?: string; at: Micros };

/** A run as a store keeps it. */
export type RunRow = {
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

/** What a store keeps of runs. */
export type RunRows = Pick<Runs, "begunBy" | "remember"> & {
  find: (id: string) => RunRow | undefined;
  insert: (run: RunClaim & { depth: number }) => void;
  /** How many runs below its parent began before it, itself included. */
  rank: (row: RunRow & { parent: string }) => number;
  count: (id: string, calls: number, usdMicros: number) => void;
  /** What was asked lately in it, newest first. */
  recent: (run: string) => RunState["recent"];
};

/** Deeper than any cap: a guard against runs that claim one another. */
const lineageMax = 64;

export const createRuns = (rows: RunRows): Runs => {
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
    begunBy: rows.begunBy,
    lineage,
    state: (run, at) => {
      const row = rows.find(run);
      return {
        startedAt: row?.started_at ?? at,
        calls: row?.calls ?? 0,
        // Money spent in a run is spent in those above it, too: the one that has spent most comes up against the cap first.
        usdMicros:
          run === undefined ? 0 : Math.max(...lineage(run).map((id) => rows.find(id)?.usd_micros ?? 0)),
        children: row === undefined || row.parent === null ? 0 : rows.rank({ ...row, parent: row.parent }),
        depth: row?.depth ?? 0,
        recent: rows.recent(run),
      };
    },
    remember: rows.remember,
    count: (run, calls, usdMicros) => {
      for (const id of lineage(run)) rows.count(id, id === run ? calls : 0, usdMicros);
    },
  };
};
