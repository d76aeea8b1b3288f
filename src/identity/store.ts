/** What identity needs kept: the callers that were added at run time. */
import type { Caller } from "./caller.ts";

export type CallerStore = {
  /** Adds a caller. @throws Problem `conflict` when the name or the key was ever used */
  addCaller: (caller: Caller) => Promise<void>;
  /** Every caller ever added, revoked ones too, by name. */
  callers: () => Promise<(Caller & { addedAt: string; revokedAt?: string })[]>;
  /** Revokes for good. @throws Problem `not_found` */
  revokeCaller: (name: string) => Promise<void>;
};
