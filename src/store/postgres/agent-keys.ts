/** Keys of agents on the working set. */
import type { AgentKey } from "../../agent/store.ts";
import type { AgentKeyRows } from "../acts/agent-keys.ts";
import type { WorkingSet } from "./working-set.ts";

type KeyRow = { id: string; agent: string; hash: string; body: string };

const keyOf = (row: KeyRow | undefined): AgentKey | undefined => row && (JSON.parse(row.body) as AgentKey);

/** A key as it is kept. */
export const agentKeyRow = ({ hash, ...key }: AgentKey & { hash: string }): KeyRow => ({
  id: key.id,
  agent: key.agent,
  hash,
  body: JSON.stringify(key),
});

export const agentKeyRows = (set: WorkingSet): Omit<AgentKeyRows, "list"> => {
  const row = (id: string): KeyRow | undefined =>
    set.one<KeyRow>("agent_key", "agentKeyOfId", [id], (each) => each.id === id);
  return {
    find: (hash) => keyOf(set.one<KeyRow>("agent_key", "agentKey", [hash], (each) => each.hash === hash)),
    named: (id, agent) => {
      const found = row(id);
      return found?.agent === agent ? keyOf(found) : undefined;
    },
    insert: (key) => set.put("agent_key", agentKeyRow(key)),
    revoke: (id, { at, by }) => {
      const found = row(id);
      if (!found) return;
      set.put("agent_key", {
        ...found,
        body: JSON.stringify({ ...keyOf(found), revokedAt: at, revokedBy: by }),
      });
    },
  };
};
