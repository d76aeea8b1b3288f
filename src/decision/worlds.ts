/** The world in force, and the ones before it that questions still hold: a question keeps the world it began with. */
import { Problem } from "../kit/problem.ts";
import type { KeptAgents } from "../agent/store.ts";
import type { KeptEntities } from "../entity/kept-entities.ts";
import { noKeptAgents, withKeptAgents } from "./kept-agents.ts";
import { withKeptEntities } from "./kept-entities.ts";
import type { World } from "./prepare.ts";
import type { Epochs } from "./store.ts";

export type Worlds = {
  /** The world in force. @throws Problem `not_ready` before the first one */
  current: () => World;
  /** Runs a question in the world of this moment, which stays known to the judge until the question is answered. */
  use: <T>(ask: (world: World) => Promise<T>) => Promise<T>;
  /** Puts a world of the files in force, with what is kept of agents. */
  replace: (world: World) => void;
  /** Another world, with what is kept of agents and entities. */
  with: (world: World) => World;
  /** Takes over what the store knows of agents, for this world and those to come. */
  keep: (kept: KeptAgents) => void;
  /** Takes over what the store knows of entities, for this world and those to come. */
  keepEntities: (kept: KeptEntities) => void;
  /** Takes over how far the conditions of delegations look: so far, questions are gathered. */
  keepReach: (reach: number) => void;
  /** Takes over up to which changes of other processes all of it is known. */
  keepEpochs: (epochs: Epochs) => void;
};

type Kept = { entities: KeptEntities | undefined; reach: number; known: Epochs | undefined };

/** A world with the entities of the store, that questions are gathered in as far as `reach`. */
const joined = (world: World, files: World, { entities, reach, known }: Kept): World => {
  const all = withKeptEntities(world, entities, files.entities);
  const told = known ? { ...all, known } : all;
  return told.head.reach >= reach ? told : { ...told, head: { ...told.head, reach } };
};

/** Who needs which policy set, until none does. */
const createNeeds = (retire: (policySet: string, worlds: number) => void) => {
  /** Policy set → how many questions and worlds in force need it. */
  const needed = new Map<string, number>();
  /** Policy set → how many worlds had it since it was last retired. */
  const had = new Map<string, number>();
  return {
    need: (policySet: string): void => {
      needed.set(policySet, (needed.get(policySet) ?? 0) + 1);
    },
    install: (policySet: string): void => {
      had.set(policySet, (had.get(policySet) ?? 0) + 1);
    },
    release: (policySet: string): void => {
      const left = needed.get(policySet)! - 1;
      if (left > 0) {
        needed.set(policySet, left);
        return;
      }
      needed.delete(policySet);
      const worlds = had.get(policySet)!;
      had.delete(policySet);
      retire(policySet, worlds);
    },
  };
};

/**
 * `retire` is told of policy sets that no world in force and no question needs any more, and how many worlds had it:
 * each was installed, and one that is on its way here already mustn't lose its policies.
 */
export const createWorlds = (retire: (policySet: string, worlds: number) => void): Worlds => {
  let files: World | undefined;
  let kept = noKeptAgents;
  let entities: KeptEntities | undefined;
  let reach = 1;
  let known: Epochs | undefined;
  /** The world of the files with the store's agents. */
  let withAgents: World | undefined;
  let inForce: World | undefined;
  const { need, release, install } = createNeeds(retire);
  /** The policy set stays: nothing is installed or retired. */
  const joinEntities = (): void => {
    if (files && withAgents) inForce = joined(withAgents, files, { entities, reach, known });
  };
  const joinAgents = (): void => {
    if (files) withAgents = withKeptAgents(files, kept);
    joinEntities();
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
      install(policySet);
      files = world;
      joinAgents();
      if (before) release(before.head.policySet);
    },
    with: (world) => joined(withKeptAgents(world, kept), world, { entities, reach, known }),
    keep: (told) => {
      kept = told;
      joinAgents();
    },
    keepEntities: (told) => {
      entities = told;
      joinEntities();
    },
    keepReach: (told) => {
      reach = told;
      joinEntities();
    },
    keepEpochs: (epochs) => {
      known = epochs;
      if (inForce) inForce = { ...inForce, known };
    },
  };
};
