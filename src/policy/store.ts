/** What policies need kept: every set that was ever in force, so that its decisions can be judged again, and files to go back to. */
import type { Micros } from "../kit/clock.ts";

/** How files came into force: read from where they are configured, or by the word of an administrator. */
export type ActivationVerb = "load" | "promote" | "rollback" | "follow";

/** An administrator's word on which files decide: promoted ones, earlier ones, or again those of the folders. */
export type ActivationCommand = {
  id: string;
  at: Micros;
  caller: string;
  verb: Exclude<ActivationVerb, "load">;
  reason: string;
  /** The bundle that is in force at that time, where that matters. */
  from?: string;
};

/** What files are made of, for telling what a change of them changed. */
export type Part = "policies" | "schema" | "budgets" | "prices" | "entities";

/** The digest of each named thing of each part: of every policy, every budget, every model's prices. */
export type Contents = Readonly<Record<Part, Readonly<Record<string, string>>>>;

/** Files that come into force: those of a bundle, and the policy set that they make. */
export type Activated = {
  at: Micros;
  bundle: { digest: string; files: Readonly<Record<string, string>>; sequence?: number };
  policySet: { digest: string; body: string };
  contents: Contents;
  /** Absent where they were read from where they are configured. */
  command?: ActivationCommand;
};

/** One row of the history: from this instant on, these files decided. */
export type Activation = {
  at: Micros;
  verb: ActivationVerb;
  bundle: string;
  policySet: string;
  by: string;
  reason?: string;
  sequence?: number;
  /** Whether the files are kept, so that one can go back to them. */
  kept: boolean;
};

/** How things stood at the last activation. */
export type Standing = {
  /** The files that decided last. */
  last?: { digest: string; files: Record<string, string> };
  /** Whether they decide until an administrator says otherwise. */
  pinned: boolean;
  /** The greatest sequence number of a bundle that was ever taken. */
  sequence?: number;
};

export type ActivationStore = {
  /** The newest first, at most 1000. */
  activations: () => Promise<Activation[]>;
  /** The files of a bundle, by its digest or that of its policy set, newest first. */
  keptFiles: (digest: string) => Promise<{ digest: string; files: Record<string, string> } | undefined>;
};
