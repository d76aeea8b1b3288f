/** Legal holds are placed and lifted, each by an entry. */
import { actRecord } from "../../decision/record.ts";
import { Problem } from "../../kit/problem.ts";
import type { LegalHold, LegalHoldCommand } from "../../ledger/store.ts";
import type { Desk } from "./desk.ts";

/** What a store keeps of legal holds. */
export type LegalHoldRows = {
  find: (id: string) => LegalHold | undefined;
  insert: (hold: LegalHold) => void;
  lift: (id: string, lifted: NonNullable<LegalHold["lifted"]>) => void;
};

const note = (
  desk: Desk,
  { id, at, caller }: LegalHoldCommand,
  kind: "legal_hold.add" | "legal_hold.lift",
  facts: Record<string, string>,
  detail: object,
): void =>
  void desk.append.entry({
    id,
    at,
    kind,
    record: (names, commitment) =>
      actRecord(names, { kind, id, at, caller, detail: commitment, moves: [], facts }),
    body: JSON.stringify(detail),
    agents: [],
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
    note(desk, command, "legal_hold.lift", { legal_hold: command.hold }, { reason });
    return { ...hold, lifted };
  }
  const { agent, subject, from, to } = command;
  const hold: LegalHold = {
    id,
    ...(agent === undefined ? {} : { agent }),
    ...(subject === undefined ? {} : { subject }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    reason,
    placedBy: caller,
    placedAt: at,
  };
  desk.legalHolds.insert(hold);
  note(desk, command, "legal_hold.add", { legal_hold: id }, { reason, agent, subject, from, to });
  return hold;
};
