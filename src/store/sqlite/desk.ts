/** What acts work with, as rows of the file. Remembers things, so a rollback needs them made anew. */
import type { Database } from "better-sqlite3";
import type { Alert } from "../../alert/alert.ts";
import { createAppend } from "../acts/append.ts";
import type { Desk as ActDesk } from "../acts/desk.ts";
import { createRuns } from "../acts/runs.ts";
import { createTold } from "../acts/told.ts";
import { createAccounts } from "./accounts.ts";
import { agentKeyRows } from "./agent-keys.ts";
import { agentRows } from "./agents.ts";
import { entryRows, nextIndex } from "./append.ts";
import { denialRows } from "./contain.ts";
import { createDelegations } from "./delegations.ts";
import { isDatabaseFailure } from "./failure.ts";
import { createHolds } from "./holds.ts";
import { createKills } from "./kills.ts";
import { createReplies } from "./replies.ts";
import { runRows } from "./runs.ts";
import { toldRows } from "./told.ts";
import { usageEvents } from "./usage-events.ts";

type Parts = Omit<ActDesk, "atomically" | "isFatal">;

export type Desk = ActDesk & {
  /** Forgets what was remembered since the ledger had `next` entries: what came after was rolled back. */
  renew: (next: number) => void;
};

export const createDesk = (db: Database, tell: (alert: Alert) => void): Desk => {
  const attempt = db.transaction((act: () => unknown) => act());
  const renew: Desk["renew"] = (next) => void Object.assign(desk, partsOf(db, tell, next));
  const desk: Desk = {
    ...partsOf(db, tell, nextIndex(db)),
    renew,
    isFatal: isDatabaseFailure,
    atomically: <T>(act: () => T): T => {
      const next = desk.append.next();
      try {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it gives what the act gives
        return attempt(act) as T;
      } catch (error) {
        if (!isDatabaseFailure(error)) renew(next);
        throw error;
      }
    },
  };
  return desk;
};

const partsOf = (db: Database, tell: (alert: Alert) => void, next: number): Parts => {
  const insertConsumption = db.prepare(
    `insert into consumption (idx, unit, at, amount, agent, user, team, org, run, model, tool)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return {
    append: createAppend(entryRows(db), next),
    accounts: createAccounts(db),
    holds: createHolds(db),
    runs: createRuns(runRows(db)),
    agents: agentRows(db),
    agentKeys: agentKeyRows(db),
    kills: createKills(db),
    delegations: createDelegations(db),
    told: createTold(toldRows(db), tell),
    replies: createReplies(db),
    denials: denialRows(db),
    events: usageEvents(db),
    consumed: (index, at, used, whose) => {
      const { agent, user, team, org, run, model, tool } = whose;
      const parts = [agent, user, team, org, run, model, tool].map((part) => part ?? null);
      for (const [unit, amount] of Object.entries(used))
        if (amount !== 0) insertConsumption.run(index, unit, at, amount, ...parts);
    },
  };
};
