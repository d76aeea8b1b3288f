/** Agents: what is registered at run time, the last word on each one's status, and the acts that change both. */
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

export type AgentRows = {
  kept: () => KeptAgents;
  /** What the store holds against an agent at the instant, or that it holds nothing. */
  standing: (
    agent: string,
    at: Micros,
  ) => "clear" | "agent_unknown" | "agent_suspended" | "agent_revoked" | "agent_expired";
  statusOf: (agent: string) => AgentStatus | undefined;
  /** What was registered under an id at run time. */
  registered: (agent: string) => Registration | undefined;
  insert: (registration: Registration, at: Micros, by: string) => void;
  change: (registration: Registration) => void;
  say: (word: StatusWord) => void;
};

type Standing = NonNullable<ReturnType<AgentRows["standing"]>>;

/** What a status and an expiry say of an agent at an instant. */
export const standingOf = (status: AgentStatus, expiresAt: Micros | undefined, at: Micros): Standing => {
  if (status === "revoked") return "agent_revoked";
  if (status === "suspended") return "agent_suspended";
  if (status === "requested") return "agent_unknown";
  return expiresAt !== undefined && expiresAt <= at ? "agent_expired" : "clear";
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

const register = (desk: Desk, command: Extract<AgentCommand, { verb: "register" }>): void => {
  const { registration, status, reason, at, caller } = command;
  const { id } = registration;
  // An id that was stopped before it was registered stays stopped, and none is let in by an old word.
  const said = desk.agents.statusOf(id);
  if (desk.agents.registered(id))
    throw new Problem("conflict", `the agent \`${id}\` is registered already`, { field: "id" });
  desk.agents.insert(registration, at, caller);
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
  const { id } = registration;
  const kept = desk.agents.registered(id);
  if (!kept) throw new Problem("not_found", `no agent \`${id}\` was registered at run time`, { field: "id" });
  if (canonicalJson(kept) !== canonicalJson(before))
    throw new Problem("conflict", `\`${id}\` was changed meanwhile: try again`, { field: "id" });
  desk.agents.change(registration);
  appendAgentEntry(desk, command, { kind: "agent.change", facts: {}, detail: { registration, reason } });
};

/** An act on the registry. Gives whether anything changed. */
export const agentAct = (desk: Desk, command: AgentCommand): boolean => {
  if (command.verb === "register") register(desk, command);
  else if (command.verb === "change") change(desk, command);
  else return speak(desk, command);
  return true;
};
