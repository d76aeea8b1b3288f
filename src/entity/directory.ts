/** The entities of the store as they stand at this moment: what changes through it is in force with the answer. */
import { type KeptEntities, keptEntities } from "./kept-entities.ts";
import type { EntityCommand, EntityPage, EntityStore } from "./store.ts";

export type EntityDirectory = {
  now: () => KeptEntities;
  /**
   * Makes the changes that `prepare` gives, one caller at a time: what it saw is what it changes. Nothing to change is
   * no act. @throws whatever `prepare` throws
   */
  change: (prepare: () => EntityCommand) => Promise<EntityCommand>;
};

const readAll = async (store: EntityStore): Promise<EntityPage[]> => {
  const pages = [await store.keptEntities()];
  for (let next = pages[0]!.next; next; next = pages.at(-1)!.next) pages.push(await store.keptEntities(next));
  return pages;
};

/** Reads what the store keeps and tells `keep` of it, now and with every change before it is answered. */
export const createEntityDirectory = async (
  store: EntityStore,
  keep: (kept: KeptEntities) => void,
): Promise<EntityDirectory> => {
  const entities = keptEntities(await readAll(store));
  keep(entities.now());
  let last: Promise<unknown> = Promise.resolve();
  const change = async (prepare: () => EntityCommand): Promise<EntityCommand> => {
    const command = prepare();
    if (command.changes.length === 0) return command;
    const digest = await store.changeEntities(command);
    entities.change(command.changes, { digest, at: command.at, by: command.caller });
    keep(entities.now());
    return command;
  };
  return {
    now: () => entities.now(),
    change: (prepare) => {
      const next = last.then(() => change(prepare));
      last = next.catch(() => undefined);
      return next;
    },
  };
};
