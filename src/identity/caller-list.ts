/** All callers, of the configuration and of the store, as they stand at this moment. */
import { Problem } from "../kit/problem.ts";
import { type Caller, callerNamePattern, reservedNames } from "./caller.ts";
import type { CallerStore } from "./store.ts";

export type CallerList = CallerStore & {
  /** Those that may authenticate now. */
  active: () => readonly Caller[];
  /** Whether there never was any: then, on loopback, questions need no key. A revocation doesn't reopen the service. */
  none: () => boolean;
  /** Brings what others changed into force here. */
  refresh: () => Promise<void>;
};

/** Whether a caller may be added beside those of the configuration. @throws Problem `invalid_request` or `conflict` */
const checkNew = (configured: readonly Caller[], { name, keyHash }: Caller): void => {
  if (!callerNamePattern.test(name))
    throw new Problem("invalid_request", "name must be 1 to 64 letters, digits, `.`, `_` or `-`", {
      field: "name",
    });
  if (reservedNames.includes(name) || configured.some((caller) => caller.name === name))
    throw new Problem("conflict", `the caller name \`${name}\` is taken`, { field: "name" });
  if (keyHash !== undefined && configured.some((caller) => caller.keyHash === keyHash))
    throw new Problem("conflict", "the key is another caller's", { field: "key_hash" });
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
    refresh,
    active: () => active,
    none: () => known === 0,
    callers: async () => {
      const kept = await store.callers();
      return [...configured.map((caller) => ({ ...caller, addedAt: "" })), ...kept];
    },
    changeCaller: async (command) => {
      if (command.verb === "add") checkNew(configured, command.added);
      else if (configured.some(({ name }) => name === command.name))
        throw new Problem(
          "conflict",
          `\`${command.name}\` stands in the configuration file: take it out there`,
          { field: "name" },
        );
      await store.changeCaller(command);
      await refresh();
    },
  };
};
