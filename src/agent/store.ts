/** What agents need kept: their keys; each change with its entry, in one durable act. */
import type { Micros } from "../kit/clock.ts";

/** An agent as an entry may name it: by its id, or by a pseudonym where the schema marks the type as personal. */
export type AgentName = { type: string; id: string; personal: boolean };

/** A key of an agent, without what it could be guessed from. */
export type AgentKey = {
  id: string;
  agent: string;
  /** What people call it. */
  name?: string;
  createdAt: Micros;
  createdBy: string;
  expiresAt?: Micros;
  revokedAt?: Micros;
  revokedBy?: string;
};

/** Who changes what of which agent, and when. `id` is the entry's. */
export type AgentCommand = { id: string; at: Micros; caller: string; agent: AgentName } & (
  | { verb: "add_key"; keyHash: string; name?: string; expiresAt?: Micros }
  | { verb: "revoke_key"; key: string }
);

export type AgentStore = {
  /** Adds or revokes a key, in force with the answer. @throws Problem `not_found` for a key that the agent doesn't have */
  changeAgentKey: (command: AgentCommand) => Promise<AgentKey>;
  /** Every key the agent ever had, oldest first. */
  agentKeys: (agent: string) => Promise<AgentKey[]>;
  /** The agent whose key this is, by its hash; nothing for one that is unknown, revoked or expired at the instant. */
  agentOfKey: (keyHash: string, at: Micros) => Promise<string | undefined>;
};
