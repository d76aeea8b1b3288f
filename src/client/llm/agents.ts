/** Who calls: agents by their keys, their runs, and the watch over those whose calls are running. */
import { randomUUID } from "node:crypto";
import { sha256 } from "../../kit/digest.ts";
import type { Client } from "../client.ts";
import { PdpError } from "../fault.ts";
import type { RecognisedAgent } from "../settlement.ts";

export type KnownAgent = RecognisedAgent & {
  key: string;
  /** Names the key where the key itself must not stand. */
  digest: string;
};

export type Agents = {
  /** Whose key it is; nothing for a key that is nobody's. @throws PdpError where nobody can say */
  recognise: (key: string) => Promise<KnownAgent | undefined>;
  /** The run of an agent that names none: one for as long as it keeps calling. */
  run: (agent: KnownAgent) => string;
  /** Watches over an agent while a call of its runs; `stop` is called when it may act no longer. Gives the end of it. */
  watch: (agent: KnownAgent, stop: () => void) => () => void;
  close: () => void;
};

export type AgentsOptions = {
  client: Client;
  /** How often an agent is looked at while its calls run. */
  watchMs: number;
  /** After so long a silence its next call begins a new run. */
  runIdleMs: number;
};

/** Only to name the subject: the PDP looks at the key itself with every decision. */
const recognisedMs = 30_000;
const rememberedMax = 10_000;

/** So many looks in a row may fail before an agent counts as one that may act no longer. */
const missesMax = 10;

const forgetOldest = (map: Map<string, unknown>): void => {
  const oldest = map.size > rememberedMax ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
};

type Watched = { agent: KnownAgent; stops: Set<() => void>; misses: number; asking: boolean };

/** Makes the register of callers. */
export const createAgents = ({ client, watchMs, runIdleMs }: AgentsOptions): Agents => {
  const known = new Map<string, { agent: Promise<KnownAgent | undefined>; until: number }>();
  const runs = new Map<string, { run: string; at: number }>();
  const watched = new Map<string, Watched>();

  const ask = async (key: string, digest: string): Promise<KnownAgent | undefined> => {
    const agent = await client.agents.recognise(key);
    return agent && { ...agent, key, digest };
  };

  const look = async (one: Watched): Promise<void> => {
    if (one.asking) return;
    one.asking = true;
    try {
      const now = await ask(one.agent.key, one.agent.digest);
      one.misses = 0;
      if (now?.status === "active" && now.id === one.agent.id) return;
      known.delete(one.agent.digest);
      for (const stop of one.stops) stop();
    } catch (error) {
      one.misses++;
      const refused = error instanceof PdpError && (error.status === 401 || error.status === 403);
      if (refused || one.misses >= missesMax) for (const stop of one.stops) stop();
    } finally {
      one.asking = false;
    }
  };
  const timer = setInterval(() => {
    for (const one of watched.values()) void look(one);
  }, watchMs);
  timer.unref();

  return {
    recognise: async (key) => {
      const digest = sha256(key).toString("base64url");
      const kept = known.get(digest);
      if (kept && performance.now() < kept.until) return kept.agent;
      const entry = { agent: ask(key, digest), until: performance.now() + recognisedMs };
      known.delete(digest);
      known.set(digest, entry);
      forgetOldest(known);
      try {
        const agent = await entry.agent;
        // A key may be given out, or its agent let in, at any moment.
        if (agent?.status !== "active") known.delete(digest);
        return agent;
      } catch (error) {
        known.delete(digest);
        throw error;
      }
    },
    run: ({ digest }) => {
      const now = performance.now();
      const last = runs.get(digest);
      const run = last && now - last.at < runIdleMs ? last.run : `proxy-${randomUUID()}`;
      runs.delete(digest);
      runs.set(digest, { run, at: now });
      forgetOldest(runs);
      return run;
    },
    watch: (agent, stop) => {
      const one = watched.get(agent.digest) ?? { agent, stops: new Set(), misses: 0, asking: false };
      watched.set(agent.digest, one);
      one.stops.add(stop);
      return () => {
        one.stops.delete(stop);
        if (one.stops.size === 0) watched.delete(agent.digest);
      };
    },
    close: () => clearInterval(timer),
  };
};
