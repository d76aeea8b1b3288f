/** Agents on the working set: what was registered at run time, and the last word on each one's status. */
import type { AgentStatus } from "../../agent/agent.ts";
import type { Registration } from "../../agent/store.ts";
import { type AgentRows, standingOf } from "../acts/agents.ts";
import type { WorkingSet } from "./working-set.ts";

type AgentRow = { id: string; body: string; expires_at: number | null };
type StatusRow = { agent: string; status: AgentStatus };

export const agentRows = (set: WorkingSet): Omit<AgentRows, "kept"> => {
  const agent = (id: string): AgentRow | undefined =>
    set.one<AgentRow>("agent", "agent", [id], (row) => row.id === id);
  const statusOf = (id: string): AgentStatus | undefined =>
    set.one<StatusRow>("agent_status", "agentStatus", [id], (row) => row.agent === id)?.status;
  return {
    statusOf,
    standing: (id, at) => {
      // Both are wanted at once, whatever either says.
      const [status, kept] = [statusOf(id), agent(id)];
      return status === undefined ? "clear" : standingOf(status, kept?.expires_at ?? undefined, at);
    },
    registered: (id) => {
      const kept = agent(id);
      return kept && (JSON.parse(kept.body) as Registration);
    },
    insert: (registration, at, by) =>
      set.put("agent", {
        id: registration.id,
        body: JSON.stringify(registration),
        expires_at: registration.expiresAt ?? null,
        created_at: at,
        created_by: by,
      }),
    change: (registration) =>
      set.put("agent", {
        ...agent(registration.id),
        body: JSON.stringify(registration),
        expires_at: registration.expiresAt ?? null,
      }),
    say: ({ agent: id, status, reason, by, at }) =>
      set.put("agent_status", { agent: id, status, reason, said_by: by, at }),
  };
};
