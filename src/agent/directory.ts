/** The agents of the store as they stand at this moment: what changes through it is in force with the answer. */
import { reachOfConditions } from "./delegation.ts";
import type { AgentStore, KeptAgents } from "./store.ts";

export type AgentDirectory = AgentStore & {
  /** Brings what others changed into force here. */
  refresh: () => Promise<void>;
};

/**
 * A store that tells `keep` of every change before it answers, and once at the start; and `keepReach` how far the conditions of
 * delegations look.
 */
export const createDirectory = async (
  store: AgentStore,
  keep: (kept: KeptAgents) => void,
  keepReach: (reach: number) => void,
): Promise<AgentDirectory> => {
  const keptAgents = async (): Promise<KeptAgents> => {
    const kept = await store.keptAgents();
    keep(kept);
    return kept;
  };
  const tellReach = async (): Promise<void> => keepReach(reachOfConditions(await store.delegations({})));
  const refresh = async (): Promise<void> => {
    await keptAgents();
    await tellReach();
  };
  await refresh();
  return {
    ...store,
    refresh,
    // Rules change the status of agents, too: whoever looks sees what they did.
    keptAgents,
    delegate: async (command) => {
      const delegation = await store.delegate(command);
      await tellReach();
      return delegation;
    },
    changeAgent: async (command) => {
      await store.changeAgent(command);
      await keptAgents();
    },
    kill: async (command) => {
      const kill = await store.kill(command);
      await keptAgents();
      return kill;
    },
  };
};
