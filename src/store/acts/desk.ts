/**
 * What acts work with: rows by kind, inside the transaction of their store. Acts are synchronous and know no store: each
 * store makes a desk of its own rows.
 */
import type { Amounts } from "../../budget/budget.ts";
import type { LineMove } from "../../budget/hold.ts";
import type { Dimensions } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import type { UsageEvents } from "./account-acts.ts";
import type { Accounts, NamedMove } from "./accounts.ts";
import type { AgentKeyRows } from "./agent-keys.ts";
import type { AgentRows } from "./agents.ts";
import type { Append } from "./append.ts";
import type { ActivationRows } from "./activations.ts";
import type { BookRows } from "./book.ts";
import type { CallerRows } from "./callers.ts";
import type { Denials } from "./contain.ts";
import type { Delegations } from "./delegations.ts";
import type { EntityRows } from "./entities.ts";
import type { Exported } from "./exported.ts";
import type { ChainEnds } from "./heads.ts";
import type { Holds } from "./holds.ts";
import type { Kills } from "./kills.ts";
import type { LegalHoldRows } from "./legal-holds.ts";
import type { OutcomeRows } from "./outcomes.ts";
import type { ProofRows } from "./proofs.ts";
import type { Replies } from "./replies.ts";
import type { Runs } from "./runs.ts";
import type { Told } from "./told.ts";

export type Desk = {
  append: Append;
  accounts: Accounts;
  holds: Holds;
  runs: Runs;
  agents: Omit<AgentRows, "kept">;
  agentKeys: Omit<AgentKeyRows, "list">;
  kills: Omit<Kills, "list">;
  delegations: Omit<Delegations, "list">;
  told: Told;
  replies: Replies;
  denials: Denials;
  events: UsageEvents;
  callers: Omit<CallerRows, "list">;
  entities: EntityRows;
  proofs: ProofRows;
  outcomes: OutcomeRows;
  chainEnds: ChainEnds;
  legalHolds: LegalHoldRows;
  exported: (exported: Exported) => void;
  book: BookRows;
  activations: ActivationRows;
  consumed: (index: number, at: Micros, used: Amounts, whose: Dimensions & { run?: string }) => void;
  /** Does something that, where it throws, is undone alone. */
  atomically: <T>(act: () => T) => T;
  /** Whether an error is the store's, so that the whole commit must fail; of any other one act is undone alone. */
  isFatal: (error: unknown) => boolean;
};

/** Applies moves and gives them as entries tell them. */
export const applyMoves = ({ accounts }: Desk, moves: readonly Omit<LineMove, "unit">[]): NamedMove[] => {
  accounts.move(moves);
  return moves
    .filter(({ used, held }) => used !== 0 || held !== 0)
    .map(({ row, start, used, held }) => {
      const { budget, account } = accounts.name(row);
      return { budget, account, start, used, held };
    });
};
