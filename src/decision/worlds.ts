/** The world in force, and the ones before it that questions still hold: a question keeps the world it began with. */
import { Problem } from "../kit/problem.ts";
import type { KeptAgents } from "../agent/store.ts";
import { noKeptAgents, withKeptAgents } from "./kept-agents.ts";
import type { World } from "./prepare.ts";

export type Worlds = {
  /** The world in force. @throws Problem `not_ready` before the first one */
  current: () => World;
  /** Runs a question in the world of this moment, which stays known to the judge until the question is answered. */
  use: <T>(ask: (world: World) => Promise<T>) => Promise<T>;
  /** Puts a world of the files in force, with what is kept of agents. */
  replace: (world: World) => void;
  /** Another world, with what is kept of agents. */
  with: (world: World) => World;
  /** Takes over what the store knows of agents, for this world and those to come. */
  keep: (kept: KeptAgents) => void;
};

/**
 * `retire` is told of policy sets that no world in force and no question needs any more, and how many worlds had it:
 * each was installed, and one that is on its way here already mustn't lose its policies.
 */
export const createWorlds = (retire: (policySet: string, worlds: number) => void): Worlds => {
  let files: World | undefined;
  let kept = noKeptAgents;
  let inForce: World | undefined;
  /** Policy set → how many questions and worlds in force need it. */
  const needed = new Map<string, number>();
  /** Policy set → how many worlds had it since it was last retired. */
  const had = new Map<string, number>();
  const need = (policySet: string): void => {
    needed.set(policySet, (needed.get(policySet) ?? 0) + 1);
  };
  const release = (policySet: string): void => {
    const left = needed.get(policySet)! - 1;
    if (left > 0) {
      needed.set(policySet, left);
      return;
    }
    needed.delete(policySet);
    const worlds = had.get(policySet)!;
    had.delete(policySet);
    retire(policySet, worlds);
  };
  const current = (): World => {
    if (!inForce) throw new Problem("not_ready", "no policies are loaded yet");
    return inForce;
  };
  return {
    current,
    use: async (ask) => {
      const world = current();
      const { policySet } = world.head;
      need(policySet);
      try {
        return await ask(world);
      } finally {
        release(policySet);
      }
    },
    replace: (world) => {
      const before = inForce;
      const { policySet } = world.head;
      need(policySet);
      had.set(policySet, (had.get(policySet) ?? 0) + 1);
      files = world;
      inForce = withKeptAgents(world, kept);
      if (before) release(before.head.policySet);
    },
    with: (world) => withKeptAgents(world, kept),
    keep: (known) => {
      kept = known;
      // The policy set stays: nothing is installed or retired.
      if (files) inForce = withKeptAgents(files, kept);
    },
  };
};
