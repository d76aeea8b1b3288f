/** Legal holds are placed and lifted, each by an entry. */
import { Problem } from "../../kit/problem.ts";
import type { EntryFilter, LegalHold, LegalHoldCommand, LegalHoldScope } from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";
import { appendNote } from "./notes.ts";

/** What a store keeps of legal holds. */
export type LegalHoldRows = {
  find: (id: string) => LegalHold | undefined;
  insert: (hold: LegalHold) => void;
  lift: (id: string, lifted: NonNullable<LegalHold["lifted"]>) => void;
};

/** Which entries a hold keeps. */
export const entriesUnder = ({
  agent,
  subject,
  from,
  to,
}: LegalHoldScope): Omit<EntryFilter, "limit" | "order"> => ({
  ...(agent === undefined ? {} : { agent }),
  ...(subject === undefined ? {} : { user: subject }),
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
});

/** Places or lifts a hold. What it is of may name a person, so its entry doesn't. */
export const legalHoldAct = (desk: Desk, command: LegalHoldCommand): LegalHold => {
  const { id, at, caller, reason } = command;
  if (command.action === "lift") {
    const hold = desk.legalHolds.find(command.hold);
    if (!hold) throw new Problem("not_found", `there is no legal hold \`${command.hold}\``, { field: "id" });
    if (hold.lifted) throw new Problem("conflict", "the legal hold was lifted already");
    const lifted = { by: caller, at, reason };
    desk.legalHolds.lift(command.hold, lifted);
    appendNote(desk, {
      id,
      at,
      caller,
      note: "legal_hold.lift",
      facts: { legal_hold: command.hold },
      detail: { reason },
    });
    return { ...hold, lifted };
  }
  const { agent, subject, from, to } = command;
  const scope: LegalHoldScope = {
    ...(agent === undefined ? {} : { agent }),
    ...(subject === undefined ? {} : { subject }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
  const hold: LegalHold = { id, ...scope, reason, placedBy: caller, placedAt: at };
  desk.legalHolds.insert(hold);
  appendNote(desk, {
    id,
    at,
    caller,
    note: "legal_hold.add",
    facts: { legal_hold: id },
    detail: { reason, ...scope },
  });
  return hold;
};
