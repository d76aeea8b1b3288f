/** Exports that were written whole: what was exported may be pruned. */
import { Problem } from "../../kit/problem.ts";
import type { ExportedCommand } from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";
import { appendNote } from "./notes.ts";

/** An export that was written whole. */
export type Exported = Pick<ExportedCommand, "first" | "count" | "digest">;

/** Records that an export was written whole. @throws Problem `invalid_request` where the ledger has no such entries */
export const exportedAct = (desk: Desk, { first, count, digest, ...who }: ExportedCommand): number => {
  if (first + count > desk.append.next())
    throw new Problem("invalid_request", `the ledger has no entry ${first + count - 1}`, {
      field: "count",
    });
  if (count > 0) desk.exported({ first, count, digest });
  return appendNote(desk, { ...who, note: "ledger.exported", facts: { first, count, digest }, detail: {} });
};
