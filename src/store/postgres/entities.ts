/** Entities on the working set. */
import type { EntityRows } from "../acts/entities.ts";
import type { WorkingSet } from "./working-set.ts";

/** An entity as it is kept. */
export type EntityRow = { type: string; id: string; body: string; at: number; said_by: string };

export const entityRows = (set: WorkingSet): EntityRows => ({
  put: ({ uid, body, at, by }) => set.put("entity", { ...uid, body, at, said_by: by }),
  remove: (uid) => set.remove("entity", { ...uid, body: "", at: 0, said_by: "" }),
  digest: () => set.one<{ digest: string }>("entity_state", "entityState", [], () => true)?.digest ?? "",
  remember: (digest) => set.put("entity_state", { one: 1, digest }),
});
