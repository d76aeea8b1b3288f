/** The entities of the store as they stand at this moment: what changes through it is in force with the answer. */
import { Problem } from "../kit/problem.ts";
import { type KeptEntities, keptEntities } from "./kept-entities.ts";
import type { EntityCommand, EntityPage, EntityStore } from "./store.ts";

export type EntityDirectory = {
  now: () => KeptEntities;
  /**
   * Makes the changes that `prepare` gives, one caller at a time: what it saw is what it changes. Nothing to change is
   * no act. @throws whatever `prepare` throws
   */
  change: (prepare: () => EntityCommand) => Promise<EntityCommand>;
  /** Brings what others changed into force here. */
  refresh: () => Promise<void>;
};

/** Others may change something again and again meanwhile. */
const attemptsMax = 8;

/** All pages, of one state: others may change something between two of them. */
const readAll = async (store: EntityStore): Promise<EntityPage[]> => {
  for (;;) {
    const pages = [await store.keptEntities()];
    for (let next = pages[0]!.next; next; next = pages.at(-1)!.next)
      pages.push(await store.keptEntities(next));
    if (pages.every(({ digest }) => digest === pages[0]!.digest)) return pages;
  }
};

/** Reads what the store keeps and tells `keep` of it, now and with every change before it is answered. */
export const createEntityDirectory = async (
  store: EntityStore,
  keep: (kept: KeptEntities) => void,
): Promise<EntityDirectory> => {
  const entities = keptEntities(await readAll(store));
  keep(entities.now());
  let last: Promise<unknown> = Promise.resolve();
  const refresh = async (): Promise<void> => {
    entities.become(await readAll(store));
    keep(entities.now());
  };
  const change = async (prepare: () => EntityCommand): Promise<EntityCommand> => {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const command = prepare();
      if (command.changes.length === 0) return command;
      const digest = await store.changeEntities({ ...command, before: entities.now().digest });
      if (digest === undefined) {
        await refresh();
        continue;
      }
      entities.change(command.changes, { digest, at: command.at, by: command.caller });
      keep(entities.now());
      return command;
    }
    throw new Problem("overloaded", "others change entities all the time: try again");
  };
  const exclusive = <T>(act: () => Promise<T>): Promise<T> => {
    const next = last.then(act);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    now: () => entities.now(),
    change: (prepare) => exclusive(() => change(prepare)),
    refresh: () => exclusive(refresh),
  };
};
