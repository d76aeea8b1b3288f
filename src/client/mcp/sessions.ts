/** Sessions of MCP over HTTP: each has one gate, one run and one agent, and no other agent may speak in it. */
import { randomUUID } from "node:crypto";
import type { GateOptions } from "./desk.ts";
import { createGate, type Gate } from "./gate.ts";

export type Session = { gate: Gate; agentId: string };

export type Sessions = {
  /** A gate of its own: for an `initialize`, which begins a run, or for a message outside of sessions. */
  fresh: (agent: GateOptions["agent"], begins: boolean) => Session;
  keep: (id: string, session: Session) => void;
  /** The session of an id, if it is this agent's. */
  find: (id: string, agent: GateOptions["agent"]) => Session | undefined;
  end: (id: string, why: string) => Promise<void>;
  close: () => Promise<void>;
};

const sessionsMax = 10_000;
/** After so long a silence the next message outside of sessions begins a new run. */
const runIdleMs = 1_800_000;

type Common = Omit<GateOptions, "agent" | "run">;

/** Makes the register. `run` is for all sessions; without it each has its own. */
export const createSessions = (common: Common, run: string | undefined): Sessions => {
  const sessions = new Map<string, Session>();
  const runs = new Map<string, { run: string; at: number }>();
  const end = async (id: string, why: string): Promise<void> => {
    const session = sessions.get(id);
    sessions.delete(id);
    await session?.gate.end(why);
  };
  const runOf = (agentId: string): string => {
    const now = performance.now();
    const last = runs.get(agentId);
    const current = last && now - last.at < runIdleMs ? last.run : `mcp-${randomUUID()}`;
    runs.delete(agentId);
    runs.set(agentId, { run: current, at: now });
    const oldest = runs.size > sessionsMax ? runs.keys().next().value : undefined;
    if (oldest !== undefined) runs.delete(oldest);
    return current;
  };
  return {
    fresh: (agent, begins) => ({
      gate: createGate({
        ...common,
        agent,
        run: run ?? (begins ? `mcp-${randomUUID()}` : runOf(agent.id)),
      }),
      agentId: agent.id,
    }),
    keep: (id, session) => {
      sessions.set(id, session);
      const oldest = sessions.size > sessionsMax ? sessions.keys().next().value : undefined;
      if (oldest !== undefined) void end(oldest, "there are too many sessions");
    },
    find: (id, agent) => {
      const session = sessions.get(id);
      return session?.agentId === agent.id ? session : undefined;
    },
    end,
    close: async () => {
      await Promise.all([...sessions.keys()].map((id) => end(id, "the proxy is stopping")));
    },
  };
};
