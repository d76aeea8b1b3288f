/** All callers, of the configuration and of the store, as they stand at this moment. */
import { Problem } from "../kit/problem.ts";
import { type Caller, callerNamePattern, reservedNames } from "./caller.ts";
import type { CallerStore } from "./store.ts";

export type CallerList = CallerStore & {
  /** Those that may authenticate now. */
  active: () => readonly Caller[];
  /** Whether there never was any: then, on loopback, questions need no key. A revocation doesn't reopen the service. */
  none: () => boolean;
};

/** The list over a store; what is added or revoked through it is in force with the answer. */
export const createCallerList = async (
  configured: readonly Caller[],
  store: CallerStore,
): Promise<CallerList> => {
  let active: readonly Caller[] = [];
  let known = 0;
  const refresh = async (): Promise<void> => {
    const kept = await store.callers();
    active = [...configured, ...kept.filter(({ revokedAt }) => revokedAt === undefined)];
    known = configured.length + kept.length;
  };
  await refresh();
  return {
    active: () => active,
    none: () => known === 0,
    callers: async () => {
      const kept = await store.callers();
      return [...configured.map((caller) => ({ ...caller, addedAt: "" })), ...kept];
    },
    addCaller: async (caller) => {
      if (!callerNamePattern.test(caller.name))
        throw new Problem("invalid_request", "name must be 1 to 64 letters, digits, `.`, `_` or `-`", {
          field: "name",
        });
      if (reservedNames.includes(caller.name) || configured.some(({ name }) => name === caller.name))
        throw new Problem("conflict", `the caller name \`${caller.name}\` is taken`, { field: "name" });
      if (caller.keyHash !== undefined && configured.some(({ keyHash }) => keyHash === caller.keyHash))
        throw new Problem("conflict", "the key is another caller's", { field: "key_hash" });
      await store.addCaller(caller);
      await refresh();
    },
    revokeCaller: async (name) => {
      if (configured.some((caller) => caller.name === name))
        throw new Problem("conflict", `\`${name}\` stands in the configuration file: take it out there`, {
          field: "name",
        });
      await store.revokeCaller(name);
      await refresh();
    },
  };
};
