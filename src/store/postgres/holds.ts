/** Holds on the working set. */
import { assert } from "../../kit/assert.ts";
import type { Holds, KeptHold } from "../acts/holds.ts";
import { fromJsonText, jsonText } from "./rows.ts";
import type { WorkingSet } from "./working-set.ts";

type HoldRow = {
  id: string;
  decision: string;
  state: KeptHold["state"];
  expires_at: number;
  run: string | null;
  agent: string | null;
  agents: string;
  body: string;
};

/** A hold as it is kept. */
export const holdRow = (hold: KeptHold): HoldRow & Record<string, unknown> => {
  assert(
    hold.lines.every(({ held, charged }) => held >= 0 && charged >= 0),
    "a hold was to hold or charge less than nothing",
  );
  return {
    id: hold.id,
    decision: hold.decision,
    caller: hold.caller,
    state: hold.state,
    created_at: hold.createdAt,
    expires_at: hold.expiresAt,
    run: hold.run ?? null,
    agent: hold.dimensions.agent ?? null,
    agents: jsonText(hold.agents),
    body: jsonText(hold),
  };
};

const idsOf = (rows: readonly HoldRow[]): string[] => rows.map(({ id }) => id);

/** `lineage` gives a run and those above it. */
export const createHolds = (set: WorkingSet, lineage: (run: string) => string[]): Holds => {
  const find = (id: string): KeptHold | undefined => {
    const row = set.one<HoldRow>("hold", "hold", [id], (each) => each.id === id);
    return row && (fromJsonText(row.body) as KeptHold);
  };
  return {
    insert: (_index, hold) => set.put("hold", holdRow(hold)),
    find,
    update: (hold) => {
      const before = find(hold.id);
      if (before) set.put("hold", holdRow({ ...before, ...hold }));
    },
    expired: (at, limit) =>
      set
        .rows<HoldRow>(
          "hold",
          "expiredHolds",
          [at, limit],
          (row) => row.state === "open" && row.expires_at <= at,
        )
        .sort((a, b) => a.expires_at - b.expires_at)
        .slice(0, limit)
        .map(({ id }) => id),
    ofDecision: (decision) =>
      set.one<HoldRow>("hold", "holdOfDecision", [decision], (row) => row.decision === decision)?.id,
    openOfAgents: (names) => {
      if (!names) {
        const isAgents = (row: HoldRow): boolean =>
          row.state === "open" && (row.agents !== "[]" || row.agent !== null);
        return idsOf(set.rows<HoldRow>("hold", "holdsOfAnyAgent", [], isAgents));
      }
      return idsOf(
        set.rows<HoldRow>("hold", "holdsOfAgents", [names], ({ state, agents, agent }) => {
          const named = [...(fromJsonText(agents) as string[]), ...(agent === null ? [] : [agent])];
          return state === "open" && named.some((name) => names.includes(name));
        }),
      );
    },
    openOfRun: (run) =>
      idsOf(
        set.rows<HoldRow>("hold", "holdsOfRun", [run], (row) => {
          return row.state === "open" && row.run !== null && lineage(row.run).includes(run);
        }),
      ),
  };
};
