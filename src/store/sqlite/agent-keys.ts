/** Keys of agents, as rows. */
import type { Database } from "better-sqlite3";
import type { AgentKey } from "../../agent/store.ts";
import type { AgentKeyRows } from "../acts/agent-keys.ts";

type Row = {
  id: string;
  agent: string;
  name: string | null;
  created_at: number;
  created_by: string;
  expires_at: number | null;
  revoked_at: number | null;
  revoked_by: string | null;
};

const keyOf = (row: Row): AgentKey => ({
  id: row.id,
  agent: row.agent,
  ...(row.name === null ? {} : { name: row.name }),
  createdAt: row.created_at,
  createdBy: row.created_by,
  ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
  ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
  ...(row.revoked_by === null ? {} : { revokedBy: row.revoked_by }),
});

export const agentKeyRows = (db: Database): AgentKeyRows => {
  const all = db.prepare<[string], Row>("select * from agent_key where agent = ? order by created_at, id");
  const find = db.prepare<[string], Row>("select * from agent_key where hash = ?");
  const named = db.prepare<[string, string], Row>("select * from agent_key where id = ? and agent = ?");
  const insert = db.prepare(
    `insert into agent_key (id, agent, hash, name, created_at, created_by, expires_at)
     values (?, ?, ?, ?, ?, ?, ?)`,
  );
  const revoke = db.prepare("update agent_key set revoked_at = ?, revoked_by = ? where id = ?");
  const one = (row: Row | undefined): AgentKey | undefined => row && keyOf(row);
  return {
    list: (agent) => all.all(agent).map(keyOf),
    find: (hash) => one(find.get(hash)),
    named: (id, agent) => one(named.get(id, agent)),
    insert: ({ id, agent, hash, name, createdAt, createdBy, expiresAt }) =>
      void insert.run(id, agent, hash, name ?? null, createdAt, createdBy, expiresAt ?? null),
    revoke: (id, { at, by }) => void revoke.run(at, by, id),
  };
};
