/** What agents need kept: the registry's changes, what was stopped, and keys; each change with its entry, in one durable act. */
import type { Micros } from "../kit/clock.ts";
import type { Agent, AgentStatus } from "./agent.ts";
import type { Delegation } from "./delegation.ts";

/** An agent as an entry may name it: by its id, or by a pseudonym where the schema marks the type as personal. */
export type AgentName = { type: string; id: string; personal: boolean };

/** Who changes something, and when. `id` is the entry's. */
type Commanded = { id: string; at: Micros; caller: string };

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

export type KeyCommand = Commanded & { agent: AgentName } & (
    | { verb: "add_key"; keyHash: string; name?: string; expiresAt?: Micros }
    | { verb: "revoke_key"; key: string }
  );

/** What of an agent is registered; its status is a word of its own. */
export type Registration = Omit<Agent, "status">;

/** What becomes of open holds. */
export const holdFates = ["release", "freeze"] as const;
export type HoldFate = (typeof holdFates)[number];

export type AgentCommand = Commanded & { agent: AgentName } & (
    | { verb: "register"; registration: Registration; status: AgentStatus; reason: string }
    /** `before` is what the change began with: another one meanwhile is a conflict. */
    | { verb: "change"; before: Registration; registration: Registration; reason: string }
    | {
        verb: "activate" | "suspend" | "revoke";
        reason: string;
        /** What the registry says where nothing was said at run time. */
        registered: AgentStatus;
        holds?: HoldFate;
      }
  );

/** The last word on an agent's status, why, whose and since when. */
export type StatusWord = { agent: string; status: AgentStatus; reason: string; by: string; at: Micros };

/** What the store knows of agents: registrations made at run time, and words on those of the file too. */
export type KeptAgents = { registrations: Registration[]; words: StatusWord[] };

export const targetKinds = ["agent", "run", "owner", "team", "all"] as const;
export type TargetKind = (typeof targetKinds)[number];

/** What is stopped; `value` is empty for all agents. */
export type Target = { kind: TargetKind; value: string };

export type KillAction = "suspend" | "revoke";

/** Something that was stopped: in force until it is lifted. */
export type Kill = {
  id: string;
  target: Target;
  action: KillAction;
  reason: string;
  by: string;
  at: Micros;
  liftedAt?: Micros;
  liftedBy?: string;
  liftReason?: string;
};

export type KillCommand = Commanded &
  (
    | {
        verb: "kill";
        target: Target;
        action: KillAction;
        /** `keep`: what was under way goes on as it was, as rules have it. */
        holds: HoldFate | "keep";
        reason: string;
        /** Registered agents that the target fits now. */
        agents: AgentName[];
        /** The type of owners, where the schema has one. */
        ownerType: string;
      }
    | { verb: "lift"; kill: string; reason: string }
  );

/** How entries name the two of a delegation. */
type DelegationNames = { names: { delegator: AgentName; delegate: AgentName } };

export type DelegationCommand = Commanded &
  DelegationNames & { reason: string } & (
    | ({
        verb: "delegate";
        /** The schema's type of agents. */
        agentType: string;
      } & Pick<Delegation, "delegator" | "delegate" | "scope" | "depth" | "from" | "expiresAt">)
    | { verb: "revoke"; delegation: string }
  );

export type AgentStore = {
  /**
   * Records a delegation, or revokes one with all that pass it on; in force with the answer.
   * @throws Problem `not_found`, `invalid_request` for one that holds more than it passes on
   */
  delegate: (command: DelegationCommand) => Promise<Delegation>;
  /** Every delegation there ever was, newest first. */
  delegations: (filter: { delegator?: string; delegate?: string }) => Promise<Delegation[]>;
  keptAgents: () => Promise<KeptAgents>;
  /**
   * Registers, changes, or says a word on the status; in force with the answer.
   * @throws Problem `conflict` for an id that is taken and for a transition that there isn't, `not_found`
   */
  changeAgent: (command: AgentCommand) => Promise<void>;
  /** Stops or lifts. @throws Problem `not_found`, `conflict` for what is lifted already */
  kill: (command: KillCommand) => Promise<Kill>;
  /** Everything that was ever stopped, newest first. */
  kills: () => Promise<Kill[]>;
  /** What is stopped now. */
  standingKills: () => Promise<readonly Kill[]>;
  /** Adds or revokes a key, in force with the answer. @throws Problem `not_found` for a key that the agent doesn't have */
  changeAgentKey: (command: KeyCommand) => Promise<AgentKey>;
  /** Every key the agent ever had, oldest first. */
  agentKeys: (agent: string) => Promise<AgentKey[]>;
  /** The agent whose key this is, by its hash; nothing for one that is unknown, revoked or expired at the instant. */
  agentOfKey: (keyHash: string, at: Micros) => Promise<string | undefined>;
};
