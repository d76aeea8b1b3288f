/** What is done inside a commit: each act in order, and an act that is refused, or breaks, is undone alone. */
import type { Database } from "better-sqlite3";
import type { AgentCommand, DelegationCommand, KeyCommand, KillCommand } from "../../agent/store.ts";
import type { Budget } from "../../budget/budget.ts";
import type { AdjustCommand, GrantCommand, HoldCommand, UsageCommand } from "../../budget/store.ts";
import type { Decided } from "../../decision/question.ts";
import type { Act, Bound, SearchCommand } from "../../decision/store.ts";
import type { EntityCommand } from "../../entity/store.ts";
import type { ProofCommand } from "../../identity/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem, type ProblemCode } from "../../kit/problem.ts";
import { createKeyActs } from "./agent-keys.ts";
import { chainName, createAgentActs } from "./agents.ts";
import { createAccountActs } from "./account-acts.ts";
import { createDecide } from "./decide.ts";
import { delegationAct } from "./delegations.ts";
import { type Desk } from "./desk.ts";
import { createEntityActs } from "./entities.ts";
import { isDatabaseFailure } from "./failure.ts";
import { killAct } from "./kills.ts";
import { createHoldActs } from "./hold-acts.ts";
import { createLedgerActs, type LedgerCommand } from "./ledger-acts.ts";
import { createProofs } from "./proofs.ts";
import { searchAct } from "./try-out.ts";

/** One act of a commit. */
export type Command =
  | { kind: "decide"; act: Act }
  | { kind: "hold"; command: HoldCommand }
  | { kind: "usage"; command: UsageCommand }
  | { kind: "grant"; command: GrantCommand }
  | { kind: "adjust"; command: AdjustCommand }
  | { kind: "agent"; command: AgentCommand }
  | { kind: "agent_key"; command: KeyCommand }
  | { kind: "kill"; command: KillCommand }
  | { kind: "delegation"; command: DelegationCommand }
  | { kind: "entity"; command: EntityCommand }
  | { kind: "search"; command: SearchCommand }
  | { kind: "proof"; command: ProofCommand }
  | LedgerCommand;

/** What an act came to: a refusal of one act is no failure of the commit. */
export type Done = { value: unknown } | { problem: { code: ProblemCode; detail: string; field?: string } };

const problemOf = ({ code, detail, field }: Problem): Done => ({
  problem: field === undefined ? { code, detail } : { code, detail, field },
});

const instantOf = (command: Command): Micros =>
  command.kind === "decide" ? command.act.at : command.command.at;

/** What acts work with from one commit to the next. */
export type Room = { desk: Desk; book: ReadonlyMap<string, Budget> };

export type Perform = {
  /** Decides, and takes everything back. */
  undone: (room: Room, act: Act) => Decided[];
  all: (room: Room, commands: readonly Command[]) => Done[];
  lapse: (room: Room, at: Micros) => number;
};

/** Does something in a transaction that is taken back, with all that the desk remembers of it. */
const undone = <T>(db: Database, desk: Desk, act: () => T): T => {
  const next = desk.append.next();
  db.exec("begin immediate");
  try {
    return act();
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem("ledger_unavailable", "nothing can be tried: the ledger can't be written", { cause });
  } finally {
    if (db.inTransaction) db.exec("rollback");
    desk.renew(next);
  }
};

/** Changes an agent; whoever is stopped has its open holds ended as was chosen. */
const agentChange =
  (change: ReturnType<typeof createAgentActs>, holds: ReturnType<typeof createHoldActs>) =>
  ({ desk, book }: Room, command: AgentCommand): void => {
    const changed = change(desk, command);
    const { verb, at, caller, agent } = command;
    const how = verb === "suspend" || verb === "revoke" ? command.holds : undefined;
    if (!changed || how === undefined) return;
    const ids = desk.holds.openOfAgents([agent.id, chainName(desk, agent)]);
    holds.stop(desk, book, { ids, how, at, caller });
  };

/** A kill stops holds as well. */
const killWith = (
  holds: ReturnType<typeof createHoldActs>,
  { desk, book }: Room,
  command: KillCommand,
): unknown => {
  const { at, caller } = command;
  return killAct(desk, command, (ids, how) => holds.stop(desk, book, { ids, how, at, caller }));
};

/** Does acts inside a commit. `warn` hears of what broke: it was undone alone. */
export const createPerform = (db: Database, bound: Bound, warn: (warning: string) => void): Perform => {
  const holds = createHoldActs(db, warn);
  const accounts = createAccountActs(db);
  const keys = createKeyActs(db);
  const agents = createAgentActs(db);
  const decide = createDecide(db, bound, warn);
  const entities = createEntityActs(db);
  const proofs = createProofs(db);
  const ofLedger = createLedgerActs(db);
  const changeAgent = agentChange(agents, holds);
  const perform = ({ desk, book }: Room, command: Command): unknown => {
    switch (command.kind) {
      case "decide":
        return decide(desk, command.act);
      case "hold":
        return holds.change(desk, book, command.command);
      case "usage":
        return accounts.report(desk, command.command);
      case "grant":
        return accounts.grant(desk, book, command.command);
      case "adjust":
        return accounts.adjust(desk, book, command.command);
      case "agent":
        return changeAgent({ desk, book }, command.command);
      case "kill":
        return killWith(holds, { desk, book }, command.command);
      case "delegation":
        return delegationAct(desk, command.command);
      case "agent_key":
        return keys(desk, command.command);
      case "entity":
        return entities(desk, command.command);
      case "proof":
        return proofs(command.command);
      case "search":
        return searchAct(desk, bound, command.command);
      case "heads":
      case "outcome":
      case "note":
      case "erase":
      case "prune":
      case "exported":
      case "legal_hold":
      case "ledger_key":
        return ofLedger(desk, command);
    }
  };
  const attempt = db.transaction(perform);
  /** An act that is refused, or that breaks, is undone alone; what the database refuses fails the commit. */
  const done = (room: Room, command: Command): Done => {
    // A decision guards each of its own questions.
    if (command.kind === "decide") return { value: perform(room, command) };
    const next = room.desk.append.next();
    try {
      return { value: attempt(room, command) };
    } catch (error) {
      if (isDatabaseFailure(error)) throw error;
      room.desk.renew(next);
      if (error instanceof Problem) return problemOf(error);
      warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return problemOf(new Problem("internal", "the act broke and was undone"));
    }
  };
  return {
    undone: ({ desk }, act) => undone(db, desk, () => decide(desk, act)),
    all: (room, commands) => {
      // What has lapsed by now stands in nobody's way.
      holds.lapse(room.desk, room.book, Math.max(0, ...commands.map(instantOf)));
      return commands.map((command) => done(room, command));
    },
    lapse: ({ desk, book }, at) => holds.lapse(desk, book, at),
  };
};
