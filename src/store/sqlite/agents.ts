/** Agents as rows: what was registered at run time, and the last word on each one's status. */
import type { Database } from "better-sqlite3";
import type { AgentStatus } from "../../agent/agent.ts";
import type { Registration, StatusWord } from "../../agent/store.ts";
import { type AgentRows, standingOf } from "../acts/agents.ts";

type Standing = { status: AgentStatus; expires_at: number | null };

export const agentRows = (db: Database): AgentRows => {
  const bodies = db.prepare<[], string>("select body from agent order by id").pluck();
  const words = db.prepare<[], StatusWord>(
    "select agent, status, reason, by, at from agent_status order by agent",
  );
  const standing = db.prepare<[string], Standing>(
    `select s.status as status, a.expires_at as expires_at
     from agent_status s left join agent a on a.id = s.agent where s.agent = ?`,
  );
  const say = db.prepare(
    `insert into agent_status (agent, status, reason, by, at) values (?, ?, ?, ?, ?)
     on conflict (agent) do update set status = excluded.status, reason = excluded.reason, by = excluded.by, at = excluded.at`,
  );
  const bodyOf = db.prepare<[string], string>("select body from agent where id = ?").pluck();
  const insert = db.prepare(
    "insert into agent (id, body, expires_at, created_at, created_by) values (?, ?, ?, ?, ?)",
  );
  const update = db.prepare("update agent set body = ?, expires_at = ? where id = ?");
  return {
    kept: () => ({
      registrations: bodies.all().map((body) => JSON.parse(body) as Registration),
      words: words.all(),
    }),
    standing: (agent, at) => {
      const row = standing.get(agent);
      if (!row) return "clear";
      return standingOf(row.status, row.expires_at ?? undefined, at);
    },
    statusOf: (agent) => standing.get(agent)?.status,
    registered: (agent) => {
      const body = bodyOf.get(agent);
      return body === undefined ? undefined : (JSON.parse(body) as Registration);
    },
    insert: (registration, at, by) =>
      void insert.run(registration.id, JSON.stringify(registration), registration.expiresAt ?? null, at, by),
    change: (registration) =>
      void update.run(JSON.stringify(registration), registration.expiresAt ?? null, registration.id),
    say: ({ agent, status, reason, by, at }) => void say.run(agent, status, reason, by, at),
  };
};
