/** Agents in the store: what was registered at run time, and the last word on each one's status. */
import type { Database } from "better-sqlite3";
import type { AgentStatus } from "../../agent/agent.ts";
import { stricter } from "../../agent/status.ts";
import type { AgentCommand, AgentName, KeptAgents, Registration, StatusWord } from "../../agent/store.ts";
import { actRecord, entityRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import { canonicalJson } from "../../kit/digest.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import type { Desk } from "./desk.ts";

type Standing = { status: AgentStatus; expires_at: number | null };

export type AgentRows = {
  kept: () => KeptAgents;
  /** What the store holds against an agent at the instant, or that it holds nothing. */
  standing: (
    agent: string,
    at: Micros,
  ) => "clear" | "agent_unknown" | "agent_suspended" | "agent_revoked" | "agent_expired";
  statusOf: (agent: string) => AgentStatus | undefined;
  say: (word: StatusWord) => void;
};

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
  return {
    kept: () => ({
      registrations: bodies.all().map((body) => JSON.parse(body) as Registration),
      words: words.all(),
    }),
    standing: (agent, at) => {
      const row = standing.get(agent);
      if (!row) return "clear";
      if (row.status === "revoked") return "agent_revoked";
      if (row.status === "suspended") return "agent_suspended";
      if (row.status === "requested") return "agent_unknown";
      return row.expires_at !== null && row.expires_at <= at ? "agent_expired" : "clear";
    },
    statusOf: (agent) => standing.get(agent)?.status,
    say: ({ agent, status, reason, by, at }) => void say.run(agent, status, reason, by, at),
  };
};

/** An agent as chains and holds name it. */
export const chainName = (desk: Desk, { type, id, personal }: AgentName): string =>
  personal ? desk.append.names("entity", type, id) : id;

/** Appends the entry of something that was done to an agent. */
export const appendAgentEntry = (
  desk: Desk,
  { id, at, caller, agent }: { id: string; at: Micros; caller: string; agent: AgentName },
  { kind, facts, detail }: { kind: EntryKind; facts: JsonObject; detail: JsonObject },
): void => {
  const named = { ...agent, typeKnown: true };
  desk.append.entry({
    id,
    at,
    kind,
    record: (names, commitment) =>
      actRecord(names, {
        kind,
        id,
        at,
        caller,
        detail: commitment,
        moves: [],
        facts: { agent: entityRecord(named, names), ...facts },
      }),
    body: JSON.stringify(detail),
    agents: [chainName(desk, agent)],
  });
};

const wanted = { activate: "active", suspend: "suspended", revoke: "revoked" } as const;

/** Says a word on an agent's status, with its entry. A revocation is the last word. */
const speak = (desk: Desk, command: Extract<AgentCommand, { registered: AgentStatus }>): boolean => {
  const { agent, verb, reason, registered, at, caller } = command;
  const from = desk.agents.statusOf(agent.id) ?? registered;
  const to = wanted[verb];
  if (from === to && desk.agents.statusOf(agent.id) !== undefined) return false;
  if (from === "revoked" && to !== "revoked")
    throw new Problem("conflict", `\`${agent.id}\` is revoked, which is for good`, { field: "status" });
  desk.agents.say({ agent: agent.id, status: to, reason, by: caller, at });
  appendAgentEntry(desk, command, { kind: `agent.${verb}`, facts: { from, to }, detail: { reason } });
  return true;
};

/** The acts on the registry. Gives whether anything changed. */
export const createAgentActs = (db: Database): ((desk: Desk, command: AgentCommand) => boolean) => {
  const insert = db.prepare(
    "insert into agent (id, body, expires_at, created_at, created_by) values (?, ?, ?, ?, ?)",
  );
  const bodyOf = db.prepare<[string], string>("select body from agent where id = ?").pluck();
  const exists = db.prepare<[string], number>("select 1 from agent where id = ?").pluck();
  const update = db.prepare("update agent set body = ?, expires_at = ? where id = ?");
  const register = (desk: Desk, command: Extract<AgentCommand, { verb: "register" }>): void => {
    const { registration, status, reason, at, caller } = command;
    const { id, expiresAt } = registration;
    // An id that was stopped before it was registered stays stopped, and none is let in by an old word.
    const said = desk.agents.statusOf(id);
    if (exists.get(id) !== undefined)
      throw new Problem("conflict", `the agent \`${id}\` is registered already`, { field: "id" });
    insert.run(id, JSON.stringify(registration), expiresAt ?? null, at, caller);
    const begun = said === undefined ? status : stricter(said, status);
    if (begun !== said) desk.agents.say({ agent: id, status: begun, reason, by: caller, at });
    appendAgentEntry(desk, command, {
      kind: "agent.register",
      facts: { status: begun },
      detail: { registration, reason },
    });
  };
  const change = (desk: Desk, command: Extract<AgentCommand, { verb: "change" }>): void => {
    const { before, registration, reason } = command;
    const { id, expiresAt } = registration;
    const body = bodyOf.get(id);
    if (body !== undefined && canonicalJson(JSON.parse(body)) !== canonicalJson(before))
      throw new Problem("conflict", `\`${id}\` was changed meanwhile: try again`, { field: "id" });
    if (update.run(JSON.stringify(registration), expiresAt ?? null, id).changes === 0)
      throw new Problem("not_found", `no agent \`${id}\` was registered at run time`, { field: "id" });
    appendAgentEntry(desk, command, { kind: "agent.change", facts: {}, detail: { registration, reason } });
  };
  return (desk, command) => {
    if (command.verb === "register") register(desk, command);
    else if (command.verb === "change") change(desk, command);
    else return speak(desk, command);
    return true;
  };
};
