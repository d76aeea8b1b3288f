/** What entities need kept: those put in at run time, each change with its entry, in one durable act. */
import type { Uid } from "../kit/cedar-json.ts";
import type { Micros } from "../kit/clock.ts";

/** An entity as it was put in: `body` is the canonical JSON of its attributes, parents and tags. */
export type KeptEntity = { uid: Uid; body: string; at: Micros; by: string };

/** One entity put in or, without a body, taken out. `personal`: entries name it by a pseudonym. */
export type EntityChange = { uid: Uid; personal: boolean; body?: string };

/** Changes that are made together. `id` is the entry's; an import has an entry for each change, `<id>.<n>`, in the order of them. */
export type EntityCommand = {
  id: string;
  at: Micros;
  caller: string;
  verb: "put" | "change" | "delete" | "import";
  changes: EntityChange[];
  /** The digest of what was kept when they were prepared: where it is another one by now, nothing is changed. */
  before?: string;
};

export type EntityPage = {
  entities: KeptEntity[];
  /** Where the next page begins; absent at the end. */
  next?: Uid;
  /** Names what is kept, by every change that led there; empty where there never was one. */
  digest: string;
};

export type EntityStore = {
  /**
   * Makes the changes and gives the digest of what is kept then. In force with the answer. Nothing is changed, and
   * undefined comes back, where others changed something since they were prepared.
   */
  changeEntities: (command: EntityCommand) => Promise<string | undefined>;
  /** What is kept, by type and id, from after `after` on. */
  keptEntities: (after?: Uid) => Promise<EntityPage>;
};
