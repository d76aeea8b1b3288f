/** Denials of agents, on the working set. */
import type { Denials } from "../acts/contain.ts";
import type { WorkingSet } from "./working-set.ts";

type DenialRow = { agent: string; decision: string; at: number; kind: number };

export const denialRows = (set: WorkingSet): Denials => {
  const of = (agent: string): DenialRow[] =>
    set.rows<DenialRow>("agent_denial", "denials", [agent], (row) => row.agent === agent);
  return {
    note: (denial) => set.put("agent_denial", denial),
    forget: (agent, before) => {
      for (const row of of(agent)) if (row.at < before) set.remove("agent_denial", row);
    },
    count: (agent) => {
      const rows = of(agent);
      return {
        denials: rows.filter(({ kind }) => kind < 2).length,
        runaways: rows.filter(({ kind }) => kind > 0).length,
      };
    },
  };
};
