/** Legal holds on the working set. */
import type { LegalHold } from "../../ledger/store.ts";
import type { LegalHoldRows } from "../acts/legal-holds.ts";
import type { WorkingSet } from "./working-set.ts";

/** A legal hold as it is kept. */
export type LegalHoldRow = { id: string; placed_at: number; lifted: boolean; body: string };

export const legalHoldOf = ({ body }: LegalHoldRow): LegalHold => JSON.parse(body) as LegalHold;

export const legalHoldRow = (hold: LegalHold): LegalHoldRow => ({
  id: hold.id,
  placed_at: hold.placedAt,
  lifted: hold.lifted !== undefined,
  body: JSON.stringify(hold),
});

export const legalHoldRows = (set: WorkingSet): LegalHoldRows => {
  const put = (hold: LegalHold): void => set.put("legal_hold", legalHoldRow(hold));
  const find = (id: string): LegalHold | undefined => {
    const row = set.one<LegalHoldRow>("legal_hold", "legalHold", [id], (each) => each.id === id);
    return row && legalHoldOf(row);
  };
  return {
    find,
    insert: put,
    lift: (id, lifted) => {
      const hold = find(id);
      if (hold) put({ ...hold, lifted });
    },
  };
};
