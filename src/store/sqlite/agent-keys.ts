/** Keys of agents: rows, the acts that change them, and what a question's key says of who asks. */
import type { Database } from "better-sqlite3";
import type { KeyCommand, AgentKey } from "../../agent/store.ts";
import type { Facts, Refusal } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { appendAgentEntry } from "./agents.ts";
import type { Desk } from "./desk.ts";

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

export type AgentKeyRows = {
  list: (agent: string) => AgentKey[];
  /** The key of this hash, in force or not. */
  find: (hash: string) => AgentKey | undefined;
};

export const agentKeyRows = (db: Database): AgentKeyRows => {
  const all = db.prepare<[string], Row>("select * from agent_key where agent = ? order by created_at, id");
  const find = db.prepare<[string], Row>("select * from agent_key where hash = ?");
  return {
    list: (agent) => all.all(agent).map(keyOf),
    find: (hash) => {
      const row = find.get(hash);
      return row && keyOf(row);
    },
  };
};

/** Whether a key is in force, or why not. */
export const keyStanding = (
  key: AgentKey | undefined,
  at: Micros,
): "active" | "unknown" | "revoked" | "expired" => {
  if (!key) return "unknown";
  if (key.revokedAt !== undefined) return "revoked";
  return key.expiresAt !== undefined && key.expiresAt <= at ? "expired" : "active";
};

/** What stands against a question because of the key it bears: read in the act, so that a revocation holds at once. */
export const keyRefusal = (rows: AgentKeyRows, { agentKey, at }: Facts): Refusal | undefined => {
  if (!agentKey) return undefined;
  const key = rows.find(agentKey.hash);
  const standing = keyStanding(key, at);
  if (standing === "expired") return { reason: "token_expired", detail: "the agent key is expired" };
  // Nobody is recognised by it, so nothing shows that the agent named is the one that acts.
  if (standing !== "active") return { reason: "identity_mismatch", detail: `the agent key is ${standing}` };
  return key!.agent === agentKey.actor
    ? undefined
    : { reason: "identity_mismatch", detail: "the agent key is not the acting agent's" };
};

/** The act that adds or revokes a key, with its entry. */
export const createKeyActs = (db: Database): ((desk: Desk, command: KeyCommand) => AgentKey) => {
  const insert = db.prepare(
    `insert into agent_key (id, agent, hash, name, created_at, created_by, expires_at)
     values (?, ?, ?, ?, ?, ?, ?)`,
  );
  const find = db.prepare<[string, string], Row>("select * from agent_key where id = ? and agent = ?");
  const revoke = db.prepare("update agent_key set revoked_at = ?, revoked_by = ? where id = ?");
  return (desk, command) => {
    const { id, at, caller, agent } = command;
    if (command.verb === "add_key") {
      const { keyHash, name, expiresAt } = command;
      insert.run(id, agent.id, keyHash, name ?? null, at, caller, expiresAt ?? null);
      const expires = expiresAt === undefined ? {} : { expires_at: expiresAt };
      appendAgentEntry(desk, command, {
        kind: "agent.key.add",
        facts: { key: id, ...expires },
        detail: name === undefined ? {} : { name },
      });
      return keyOf(find.get(id, agent.id)!);
    }
    const row = find.get(command.key, agent.id);
    if (!row) throw new Problem("not_found", `the agent \`${agent.id}\` has no such key`, { field: "key" });
    // Revoked once is revoked for good; again changes nothing.
    if (row.revoked_at !== null) return keyOf(row);
    revoke.run(at, caller, row.id);
    appendAgentEntry(desk, command, { kind: "agent.key.revoke", facts: { key: row.id }, detail: {} });
    return keyOf(find.get(row.id, agent.id)!);
  };
};
