/** Acts on the ledger itself: outcomes, notes, erasures, the ends of chains, its keys. */
import type { Database } from "better-sqlite3";
import type {
  EraseCommand,
  ExportedCommand,
  HeadsCommand,
  LedgerKeyCommand,
  NoteCommand,
  LegalHoldCommand,
  OutcomeCommand,
  PruneCommand,
} from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";
import { createErase } from "./erase.ts";
import { createTakeHeads, logKey } from "./heads.ts";
import { appendNote } from "./notes.ts";
import { createExported, createPrune } from "./prune.ts";
import { legalHoldAct } from "./legal-holds.ts";
import { createReportOutcome } from "./outcomes.ts";

export type LedgerCommand =
  | { kind: "heads"; command: HeadsCommand }
  | { kind: "outcome"; command: OutcomeCommand }
  | { kind: "note"; command: NoteCommand }
  | { kind: "erase"; command: EraseCommand }
  | { kind: "prune"; command: PruneCommand }
  | { kind: "exported"; command: ExportedCommand }
  | { kind: "legal_hold"; command: LegalHoldCommand }
  | { kind: "ledger_key"; command: LedgerKeyCommand };

export const createLedgerActs = (db: Database): ((desk: Desk, command: LedgerCommand) => unknown) => {
  const takeHeads = createTakeHeads(db);
  const erase = createErase(db);
  const prune = createPrune(db);
  const exported = createExported(db);
  const reportOutcome = createReportOutcome(db);
  return (desk, command) => {
    switch (command.kind) {
      case "heads":
        return takeHeads(desk, command.command);
      case "outcome":
        return reportOutcome(desk, command.command);
      case "note":
        return appendNote(desk, command.command);
      case "erase":
        return erase(desk, command.command);
      case "prune":
        return prune(desk, command.command);
      case "exported":
        return exported(desk, command.command);
      case "legal_hold":
        return legalHoldAct(db, desk, command.command);
      case "ledger_key":
        return logKey(desk, command.command);
    }
  };
};
