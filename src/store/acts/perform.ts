/** The acts that every store does, by the command for each; an act that is refused, or breaks, is undone alone. */
import type { AgentCommand, DelegationCommand, KeyCommand, KillCommand } from "../../agent/store.ts";
import type { AdjustCommand, GrantCommand, HoldCommand, UsageCommand } from "../../budget/store.ts";
import type { Act, Bound, SearchCommand } from "../../decision/store.ts";
import type { EntityCommand } from "../../entity/store.ts";
import type { CallerCommand, ProofCommand } from "../../identity/store.ts";
import { Problem, type ProblemCode } from "../../kit/problem.ts";
import type {
  ExportedCommand,
  HeadsCommand,
  LedgerKeyCommand,
  LegalHoldCommand,
  NoteCommand,
  OutcomeCommand,
} from "../../ledger/store.ts";
import { adjustAct, grantAct, reportUsage } from "./account-acts.ts";
import { keyAct } from "./agent-keys.ts";
import { agentAct, chainName } from "./agents.ts";
import { changeCaller } from "./callers.ts";
import { createDecide, type Read } from "./decide.ts";
import { delegationAct } from "./delegations.ts";
import type { Desk } from "./desk.ts";
import { changeEntities } from "./entities.ts";
import { exportedAct } from "./exported.ts";
import { logKey, takeHeads } from "./heads.ts";
import { type Book, createHoldActs, type HoldActs } from "./hold-acts.ts";
import { killAct } from "./kills.ts";
import { legalHoldAct } from "./legal-holds.ts";
import { appendNote } from "./notes.ts";
import { reportOutcome } from "./outcomes.ts";
import { rememberProof } from "./proofs.ts";
import { searchAct } from "./search.ts";

type PlainCommand =
  | { kind: "entity"; command: EntityCommand }
  | { kind: "proof"; command: ProofCommand }
  | { kind: "caller"; command: CallerCommand }
  | { kind: "heads"; command: HeadsCommand }
  | { kind: "outcome"; command: OutcomeCommand }
  | { kind: "note"; command: NoteCommand }
  | { kind: "exported"; command: ExportedCommand }
  | { kind: "legal_hold"; command: LegalHoldCommand }
  | { kind: "ledger_key"; command: LedgerKeyCommand };

/** One act of a commit. */
export type CommonCommand =
  | PlainCommand
  | { kind: "decide"; act: Act }
  | { kind: "hold"; command: HoldCommand }
  | { kind: "usage"; command: UsageCommand }
  | { kind: "grant"; command: GrantCommand }
  | { kind: "adjust"; command: AdjustCommand }
  | { kind: "agent"; command: AgentCommand }
  | { kind: "agent_key"; command: KeyCommand }
  | { kind: "kill"; command: KillCommand }
  | { kind: "delegation"; command: DelegationCommand }
  | { kind: "search"; command: SearchCommand };

/** What an act came to: a refusal of one act is no failure of the commit. */
export type Done = { value: unknown } | { problem: { code: ProblemCode; detail: string; field?: string } };

/** A refusal as what an act came to. */
const problemOf = ({ code, detail, field }: Problem): Done => ({
  problem: field === undefined ? { code, detail } : { code, detail, field },
});

/** What acts work with from one commit to the next. */
export type ActRoom = { desk: Desk; book: Book };

/** Changes an agent; whoever is stopped has its open holds ended as was chosen. */
const agentChange =
  (holds: HoldActs) =>
  ({ desk, book }: ActRoom, command: AgentCommand): void => {
    const changed = agentAct(desk, command);
    const { verb, at, caller, agent } = command;
    const how = verb === "suspend" || verb === "revoke" ? command.holds : undefined;
    if (!changed || how === undefined) return;
    const ids = desk.holds.openOfAgents([agent.id, chainName(desk, agent)]);
    holds.stop(desk, book, { ids, how, at, caller });
  };

/** A kill stops holds as well. */
const killWith = (holds: HoldActs, { desk, book }: ActRoom, command: KillCommand): unknown => {
  const { at, caller } = command;
  return killAct(desk, command, (ids, how) => holds.stop(desk, book, { ids, how, at, caller }));
};

/** What needs nothing but its rows. */
const plainAct = (desk: Desk, command: PlainCommand): unknown => {
  switch (command.kind) {
    case "entity":
      return changeEntities(desk, command.command);
    case "proof":
      return rememberProof(desk, command.command);
    case "caller":
      return changeCaller(desk, command.command);
    case "heads":
      return takeHeads(desk, command.command);
    case "outcome":
      return reportOutcome(desk, command.command);
    case "note":
      return appendNote(desk, command.command);
    case "exported":
      return exportedAct(desk, command.command);
    case "legal_hold":
      return legalHoldAct(desk, command.command);
    case "ledger_key":
      return logKey(desk, command.command);
  }
};

export type Acts = {
  perform: (room: ActRoom, command: CommonCommand) => unknown;
  holds: HoldActs;
};

/**
 * The acts, with what judges inside them. `warn` hears of what broke: it was undone alone. `read` gives the facts of texts,
 * where they are remembered.
 */
export const createActs = (bound: Bound, warn: (warning: string) => void, read?: Read): Acts => {
  const holds = createHoldActs(warn);
  const decide = createDecide(bound, warn, read);
  const changeAgent = agentChange(holds);
  const perform = ({ desk, book }: ActRoom, command: CommonCommand): unknown => {
    switch (command.kind) {
      case "decide":
        return decide(desk, command.act);
      case "hold":
        return holds.change(desk, book, command.command);
      case "usage":
        return reportUsage(desk, command.command);
      case "grant":
        return grantAct(desk, book, command.command);
      case "adjust":
        return adjustAct(desk, book, command.command);
      case "agent":
        return changeAgent({ desk, book }, command.command);
      case "kill":
        return killWith(holds, { desk, book }, command.command);
      case "delegation":
        return delegationAct(desk, command.command);
      case "agent_key":
        return keyAct(desk, command.command);
      case "search":
        return searchAct(desk, bound, command.command);
      case "entity":
      case "proof":
      case "caller":
      case "heads":
      case "outcome":
      case "note":
      case "exported":
      case "legal_hold":
      case "ledger_key":
        return plainAct(desk, command);
    }
  };
  return { perform, holds };
};

/** Does one act: refused, or broken, it is undone alone; what is the store's fault fails the commit. */
export const performOne = (
  desk: Desk,
  command: { kind: string },
  act: () => unknown,
  warn: (warning: string) => void,
): Done => {
  // A decision guards each of its own questions.
  if (command.kind === "decide") return { value: act() };
  try {
    return { value: desk.atomically(act) };
  } catch (error) {
    if (desk.isFatal(error)) throw error;
    if (error instanceof Problem) return problemOf(error);
    warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return problemOf(new Problem("internal", "the act broke and was undone"));
  }
};
