/** How permitted actions ended, on the working set. */
import type { OutcomeRows } from "../acts/outcomes.ts";
import { bytesOf } from "./rows.ts";
import type { WorkingSet } from "./working-set.ts";

type OutcomeRow = { decision: string; fingerprint: string; idx: number };
type LeafRow = { id: string; kind: string; leaf: string };

export const outcomeRows = (set: WorkingSet): OutcomeRows => ({
  leafOf: (decision) => {
    const row = set.one<LeafRow>(
      "entry",
      "decision",
      [decision],
      ({ id, kind }) => id === decision && kind === "decision",
    );
    return row && bytesOf(row.leaf);
  },
  find: (decision) => {
    const row = set.one<OutcomeRow>("outcome", "outcome", [decision], (each) => each.decision === decision);
    return row && { fingerprint: row.fingerprint, index: row.idx };
  },
  insert: ({ decision, fingerprint, index: idx }) => set.put("outcome", { decision, fingerprint, idx }),
});
