/** What an act works with inside its transaction: rows by kind. Remembers things, so a rollback needs another one. */
import type { Database } from "better-sqlite3";
import type { Alert } from "../../alert/alert.ts";
import type { Amounts } from "../../budget/budget.ts";
import type { LineMove } from "../../budget/hold.ts";
import type { Dimensions } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";
import { agentRows, type AgentRows } from "./agents.ts";
import { type AgentKeyRows, agentKeyRows } from "./agent-keys.ts";
import { type Accounts, createAccounts, type NamedMove } from "./accounts.ts";
import { type Append, createAppend, nextIndex } from "./append.ts";
import { createDelegations, type Delegations } from "./delegations.ts";
import { createHolds, type Holds } from "./holds.ts";
import { createKills, type Kills } from "./kills.ts";
import { createRuns, type Runs } from "./runs.ts";
import { createTold, type Told } from "./told.ts";

type Parts = {
  append: Append;
  accounts: Accounts;
  holds: Holds;
  runs: Runs;
  agents: AgentRows;
  agentKeys: AgentKeyRows;
  kills: Kills;
  delegations: Delegations;
  told: Told;
  /** Applies moves and gives them as entries tell them. */
  apply: (moves: readonly Omit<LineMove, "unit">[]) => NamedMove[];
  consumed: (index: number, at: Micros, used: Amounts, whose: Dimensions & { run?: string }) => void;
};

export type Desk = Parts & {
  /** Forgets what was remembered since the ledger had `next` entries: what came after was rolled back. */
  renew: (next: number) => void;
};

export const createDesk = (db: Database, tell: (alert: Alert) => void): Desk => {
  const desk: Desk = {
    ...partsOf(db, tell, nextIndex(db)),
    renew: (next) => void Object.assign(desk, partsOf(db, tell, next)),
  };
  return desk;
};

const partsOf = (db: Database, tell: (alert: Alert) => void, next: number): Parts => {
  const accounts = createAccounts(db);
  const insertConsumption = db.prepare(
    `insert into consumption (idx, unit, at, amount, agent, user, team, org, run, model, tool)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return {
    append: createAppend(db, next),
    accounts,
    holds: createHolds(db),
    runs: createRuns(db),
    agents: agentRows(db),
    agentKeys: agentKeyRows(db),
    kills: createKills(db),
    delegations: createDelegations(db),
    told: createTold(db, tell),
    apply: (moves) => {
      accounts.move(moves);
      return moves
        .filter(({ used, held }) => used !== 0 || held !== 0)
        .map(({ row, start, used, held }) => {
          const { budget, account } = accounts.name(row);
          return { budget, account, start, used, held };
        });
    },
    consumed: (index, at, used, whose) => {
      const { agent, user, team, org, run, model, tool } = whose;
      const parts = [agent, user, team, org, run, model, tool].map((part) => part ?? null);
      for (const [unit, amount] of Object.entries(used))
        if (amount !== 0) insertConsumption.run(index, unit, at, amount, ...parts);
    },
  };
};
