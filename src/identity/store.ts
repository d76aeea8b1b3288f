/** What identity needs kept: the callers that were added at run time, and proofs that were used. */
import type { Micros } from "../kit/clock.ts";
import type { Caller } from "./caller.ts";

/** A change of who may ask; `caller` makes it, `id` is that of its entry. */
export type CallerCommand = { id: string; at: Micros; caller: string } & (
  | { verb: "add"; added: Caller }
  | { verb: "revoke"; name: string }
);

export type CallerStore = {
  /**
   * Adds a caller, or revokes one for good.
   * @throws Problem `conflict` when the name or the key was ever used, `not_found` where nobody has the name
   */
  changeCaller: (command: CallerCommand) => Promise<void>;
  /** Every caller ever added, revoked ones too, by name. */
  callers: () => Promise<(Caller & { addedAt: string; revokedAt?: string })[]>;
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
