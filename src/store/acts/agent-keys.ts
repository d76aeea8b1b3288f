/** Keys of agents: the acts that change them, and what a question's key says of who asks. */
import type { KeyCommand, AgentKey } from "../../agent/store.ts";
import type { Facts, Refusal } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { appendAgentEntry } from "./agents.ts";
import type { Desk } from "./desk.ts";

export type AgentKeyRows = {
  list: (agent: string) => AgentKey[];
  /** The key of this hash, in force or not. */
  find: (hash: string) => AgentKey | undefined;
  /** The key of this id, if it is the agent's. */
  named: (id: string, agent: string) => AgentKey | undefined;
  insert: (key: AgentKey & { hash: string }) => void;
  revoke: (id: string, revoked: { at: Micros; by: string }) => void;
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
export const keyRefusal = (
  rows: Pick<AgentKeyRows, "find">,
  { agentKey, at }: Facts,
): Refusal | undefined => {
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
export const keyAct = (desk: Desk, command: KeyCommand): AgentKey => {
  const { id, at, caller, agent } = command;
  const { agentKeys } = desk;
  if (command.verb === "add_key") {
    const { keyHash, name, expiresAt } = command;
    const until = expiresAt === undefined ? {} : { expiresAt };
    const named = name === undefined ? {} : { name };
    agentKeys.insert({
      id,
      agent: agent.id,
      hash: keyHash,
      createdAt: at,
      createdBy: caller,
      ...named,
      ...until,
    });
    appendAgentEntry(desk, command, {
      kind: "agent.key.add",
      facts: { key: id, ...(expiresAt === undefined ? {} : { expires_at: expiresAt }) },
      detail: named,
    });
    return agentKeys.named(id, agent.id)!;
  }
  const key = agentKeys.named(command.key, agent.id);
  if (!key) throw new Problem("not_found", `the agent \`${agent.id}\` has no such key`, { field: "key" });
  // Revoked once is revoked for good; again changes nothing.
  if (key.revokedAt !== undefined) return key;
  agentKeys.revoke(key.id, { at, by: caller });
  appendAgentEntry(desk, command, { kind: "agent.key.revoke", facts: { key: key.id }, detail: {} });
  return agentKeys.named(key.id, agent.id)!;
};
