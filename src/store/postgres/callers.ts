/** Callers on the working set. */
import type { Caller } from "../../identity/caller.ts";
import type { Micros } from "../../kit/clock.ts";
import type { CallerRows, KeptCaller } from "../acts/callers.ts";
import type { WorkingSet } from "./working-set.ts";

/** A caller as it is kept. */
export type CallerRow = {
  name: string;
  key_hash: string | null;
  body: string;
  added_at: string;
  revoked_at: string | null;
};

export const callerOf = ({ body, added_at, revoked_at }: CallerRow): KeptCaller => ({
  ...(JSON.parse(body) as Caller),
  addedAt: added_at,
  ...(revoked_at === null ? {} : { revokedAt: revoked_at }),
});

const instant = (at: Micros): string => new Date(at / 1000).toISOString();

export const callerRows = (set: WorkingSet): Omit<CallerRows, "list"> => {
  const row = (name: string): CallerRow | undefined =>
    set.one<CallerRow>("caller", "caller", [name], (each) => each.name === name);
  return {
    named: (name) => {
      const found = row(name);
      return found && callerOf(found);
    },
    usesKey: (keyHash) =>
      set.one<CallerRow>("caller", "callerOfKey", [keyHash], (each) => each.key_hash === keyHash) !==
      undefined,
    insert: (caller, at) =>
      set.put("caller", {
        name: caller.name,
        key_hash: caller.keyHash ?? null,
        body: JSON.stringify(caller),
        added_at: instant(at),
        revoked_at: null,
      }),
    revoke: (name, at) => {
      const found = row(name);
      if (found) set.put("caller", { ...found, revoked_at: instant(at) });
    },
  };
};
