/** Entries of what was done with the ledger or the service that moves nothing else: exports, what is in force. */
import { actRecord } from "../../decision/record.ts";
import type { NoteCommand } from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";

/** Appends a note; gives its index. */
export const appendNote = (desk: Desk, { id, at, caller, note, facts, detail }: NoteCommand): number =>
  desk.append.entry({
    id,
    at,
    kind: note,
    record: (names, commitment) =>
      actRecord(names, { kind: note, id, at, caller, detail: commitment, moves: [], facts }),
    body: JSON.stringify(detail),
    agents: [],
  });
