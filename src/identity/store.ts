/** What identity needs kept: the callers that were added at run time, and proofs that were used. */
import type { Micros } from "../kit/clock.ts";
import type { Caller } from "./caller.ts";

export type CallerStore = {
  /** Adds a caller. @throws Problem `conflict` when the name or the key was ever used */
  addCaller: (caller: Caller) => Promise<void>;
  /** Every caller ever added, revoked ones too, by name. */
  callers: () => Promise<(Caller & { addedAt: string; revokedAt?: string })[]>;
  /** Revokes for good. @throws Problem `not_found` */
  revokeCaller: (name: string) => Promise<void>;
};

/** A proof of possession that is used, as far as it must be known again: nothing of it can be told from this. */
export type ProofCommand = {
  /** Thumbprint of the key that signed it: a `jti` is unique to its key. */
  key: string;
  /** Digest of its `jti`. */
  jti: string;
  /** Until when it would be accepted again. */
  until: Micros;
  /** Digest of what it is used for: whoever presents it again for the same only asks again. */
  purpose?: string;
  at: Micros;
};

export type ProofStore = {
  /**
   * Remembers a proof, durable with the answer, so that neither a restart nor another node accepts it again.
   * @throws Problem `ledger_unavailable`: then it is not known whether it was used
   */
  rememberProof: (command: ProofCommand) => Promise<"fresh" | "replayed">;
};
