/** Denials of agents, as rows. */
import type { Database } from "better-sqlite3";
import type { Count, Denials } from "../acts/contain.ts";

export const denialRows = (db: Database): Denials => {
  const note = db.prepare(
    "insert or ignore into agent_denial (agent, decision, at, runaway) values (?, ?, ?, ?)",
  );
  const forget = db.prepare("delete from agent_denial where agent = ? and at < ?");
  const count = db.prepare<[string], Count>(
    `select coalesce(sum(runaway < 2), 0) as denials, coalesce(sum(runaway > 0), 0) as runaways
     from agent_denial where agent = ?`,
  );
  return {
    note: ({ agent, decision, at, kind }) => void note.run(agent, decision, at, kind),
    forget: (agent, before) => void forget.run(agent, before),
    count: (agent) => count.get(agent)!,
  };
};
