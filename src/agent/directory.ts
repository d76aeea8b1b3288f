/** The agents of the store as they stand at this moment: what changes through it is in force with the answer. */
import type { AgentStore, KeptAgents } from "./store.ts";

/** A store that tells `keep` of every change before it answers, and once at the start. */
export const createDirectory = async (
  store: AgentStore,
  keep: (kept: KeptAgents) => void,
): Promise<AgentStore> => {
  const keptAgents = async (): Promise<KeptAgents> => {
    const kept = await store.keptAgents();
    keep(kept);
    return kept;
  };
  await keptAgents();
  return {
    ...store,
    // Rules change the status of agents, too: whoever looks sees what they did.
    keptAgents,
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
