/** What acts work with, as rows of the file. Remembers things, so a rollback needs them made anew. */
import type { Database } from "better-sqlite3";
import type { Alert } from "../../alert/alert.ts";
import { createAppend } from "../acts/append.ts";
import type { Desk as ActDesk } from "../acts/desk.ts";
import type { Move } from "../acts/accounts.ts";
import { createRuns } from "../acts/runs.ts";
import { createTold } from "../acts/told.ts";
import { createAccounts } from "./accounts.ts";
import { agentKeyRows } from "./agent-keys.ts";
import { agentRows } from "./agents.ts";
import { entryRows, nextIndex } from "./append.ts";
import { activationRows } from "./activations.ts";
import { bookRows } from "./book.ts";
import { callerRows } from "./callers.ts";
import { denialRows } from "./contain.ts";
import type { Deferred, Mark } from "./deferred.ts";
import { createDelegations } from "./delegations.ts";
import { entityRows } from "./entities.ts";
import { isDatabaseFailure } from "./failure.ts";
import { chainEnds } from "./heads.ts";
import { createHolds, createNewHolds, type NewHold } from "./holds.ts";
import { createKills } from "./kills.ts";
import { legalHoldRows } from "./legal-holds.ts";
import { outcomeRows } from "./outcomes.ts";
import { createMoves } from "./periods.ts";
import { proofRows } from "./proofs.ts";
import { createReplies } from "./replies.ts";
import { createCounts, type RunCount, runRows } from "./runs.ts";
import { toldRows } from "./told.ts";
import { usageEvents } from "./usage-events.ts";

type PlainRows = Pick<
  ActDesk,
  | "callers"
  | "entities"
  | "proofs"
  | "outcomes"
  | "chainEnds"
  | "legalHolds"
  | "exported"
  | "book"
  | "activations"
>;

type Parts = Omit<ActDesk, "atomically" | "isFatal" | keyof PlainRows>;

/** Rows of which nothing is remembered, so that they outlive whatever is taken back. */
const plainRows = (db: Database): PlainRows => {
  const exported = db.prepare("insert or ignore into exported (first, count, digest) values (?, ?, ?)");
  return {
    book: bookRows(db),
    activations: activationRows(db),
    callers: callerRows(db),
    entities: entityRows(db),
    proofs: proofRows(db),
    outcomes: outcomeRows(db),
    chainEnds: chainEnds(db),
    legalHolds: legalHoldRows(db),
    exported: ({ first, count, digest }) => void exported.run(first, count, digest),
  };
};

/** Rows that are written together when a commit ends. */
type Behind = { moves: Deferred<Move>; counts: Deferred<RunCount>; holds: Deferred<NewHold> };

/** Where a desk stands, to go back to when the file does. */
type Place = { next: number; marks: { [Name in keyof Behind]: Mark } };

export type Desk = ActDesk & {
  /** Forgets what was remembered: rows were changed by other hands. */
  renew: () => void;
  place: () => Place;
  /** Forgets what was done since: it was rolled back. */
  back: (place: Place) => void;
  /** Writes what isn't in the file yet: for who reads or changes its rows by other ways than the desk's. */
  write: () => void;
  /** Writes it at the end of a transaction. */
  settle: () => void;
};

export const createDesk = (db: Database, tell: (alert: Alert) => void): Desk => {
  const attempt = db.transaction((act: () => unknown) => act());
  const behind: Behind = { moves: createMoves(db), counts: createCounts(db), holds: createNewHolds(db) };
  const { moves, counts, holds } = behind;
  const renewFrom = (next: number): void => void Object.assign(desk, partsOf(db, tell, { next, behind }));
  const place: Desk["place"] = () => ({
    next: desk.append.next(),
    marks: { moves: moves.mark(), counts: counts.mark(), holds: holds.mark() },
  });
  const back: Desk["back"] = ({ next, marks }) => {
    moves.back(marks.moves);
    counts.back(marks.counts);
    holds.back(marks.holds);
    renewFrom(next);
  };
  const desk: Desk = {
    ...plainRows(db),
    ...partsOf(db, tell, { next: nextIndex(db), behind }),
    renew: () => renewFrom(desk.append.next()),
    place,
    back,
    write: () => {
      moves.write();
      counts.write();
      holds.write();
    },
    settle: () => {
      moves.settle();
      counts.settle();
      holds.settle();
    },
    isFatal: isDatabaseFailure,
    atomically: <T>(act: () => T): T => {
      const before = place();
      try {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it gives what the act gives
        return attempt(act) as T;
      } catch (error) {
        if (!isDatabaseFailure(error)) back(before);
        throw error;
      }
    },
  };
  return desk;
};

const partsOf = (
  db: Database,
  tell: (alert: Alert) => void,
  { next, behind }: { next: number; behind: Behind },
): Parts => {
  const insertConsumption = db.prepare(
    `insert into consumption (idx, unit, at, amount, agent, user, team, org, run, model, tool)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return {
    append: createAppend(entryRows(db), next),
    accounts: createAccounts(db, behind.moves),
    holds: createHolds(db, behind.holds),
    runs: createRuns(runRows(db, behind.counts)),
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
