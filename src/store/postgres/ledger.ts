/**
 * The ledger in PostgreSQL, for as many processes as there are. What arrives while a commit is under way is the next
 * one. A commit first finds out what its acts touch, without holding anybody up; then it takes the lock on the order of
 * entries, reads all of it again, does the acts, and writes. So all processes share one order, one tree and every
 * balance, and no permit comes after the stopping of its agent.
 */
import type pg from "pg";
import { type Alert, readAlert } from "../../alert/alert.ts";
import type { Budget } from "../../budget/budget.ts";
import type { Bound } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { putInForce } from "../acts/activations.ts";
import { type BookFault, keepBook } from "../acts/book.ts";
import { type EngineTrip, recordTrip } from "../acts/engine-trip.ts";
import type { Activated } from "../../policy/store.ts";
import { type CommonCommand, createActs, type Done, performOne } from "../acts/perform.ts";
import { type ActivationViews, activationViews, forgetLoads } from "./activations.ts";
import { replyKeptMicros } from "../acts/replies.ts";
import { createDesk } from "./desk.ts";
import { type Limits, openPool, transaction } from "./open.ts";
import { fetchRows, writeRows } from "./rows.ts";
import { locks } from "./schema.ts";
import { createTree, type Tree, type TreeOptions } from "./tree.ts";
import { createWorkingSet, type Fetched, type WorkingSet } from "./working-set.ts";

export type LedgerOptions = {
  tree: TreeOptions;
  /** How long anything may take; over it nothing was decided. */
  limits?: Partial<Limits>;
  /** Told of judgements that threw: each denied its own question. */
  warn?: (warning: string) => void;
  /** Hears of each alert once. */
  tell?: (alert: Alert) => void;
};

export type Ledger = Tree & {
  /**
   * Does an act, with those that wait.
   * @throws Problem `ledger_unavailable`: nothing was answered, and whatever was recorded holds no permit that anybody heard of
   */
  perform: (command: CommonCommand) => Promise<Done>;
  /** Lapses holds whose time is over; how many there were. */
  lapse: (at: Micros) => Promise<number>;
  /** Takes budgets over, or says why it can't. */
  takeBook: (budgets: readonly Budget[]) => Promise<BookFault[]>;
  /**
   * Puts files in force, with the entry where someone said so, in one act; or says what stands against their budgets. What
   * several processes read from folders of their own is each one's load; none of them follows another's.
   * @throws Problem `conflict` when other files are in force than the command was for
   */
  activate: (activated: Activated, budgets: readonly Budget[]) => Promise<BookFault[]>;
  activations: ActivationViews;
  /** Records that the compiled engine differed from Cedar, and tells of it. */
  tripEngine: (trip: EngineTrip) => Promise<void>;
  close: () => Promise<void>;
};

type Waiting = { command: CommonCommand; resolve: (done: Done) => void; reject: (error: unknown) => void };

/** Acts in one commit at most: what one question may have to wait for. */
const groupMax = 256;

/** Acts find out what they touch in as many rounds as one thing leads to another: far fewer. */
const roundsMax = 64;

const nobody = (): void => undefined;

type Work<T> = (desk: ReturnType<typeof createDesk>, warn: (warning: string) => void) => T;

type Worked<T> = { value: T; set: WorkingSet; warnings: string[] };

/** Does work on what was fetched; what it wants beside that is in the set. */
const workOn = <T>(fetched: Fetched, minted: Map<string, string>, work: Work<T>): Worked<T> => {
  const set = createWorkingSet(fetched);
  const warnings: string[] = [];
  const desk = createDesk(set, minted);
  return { value: work(desk, (warning) => void warnings.push(warning)), set, warnings };
};

type Query = Pick<pg.ClientBase, "query">;

/** Does work again and again until it wants nothing more. `known` is fetched to begin with. */
const workedOut = async <T>(
  client: Query,
  known: Fetched,
  minted: Map<string, string>,
  work: Work<T>,
): Promise<Worked<T> & { fetched: Fetched }> => {
  const fetched: Fetched = new Map();
  await fetchRows(
    client,
    [...known.values()].map(({ want }) => want),
    fetched,
  );
  for (let round = 0; round < roundsMax; round++) {
    const worked = workOn(fetched, minted, work);
    const wants = worked.set.wants();
    if (wants.length === 0) return { ...worked, fetched };
    await fetchRows(client, wants, fetched);
  }
  throw new Problem("internal", "an act wants more at every look");
};

/** Does work in one transaction that others take turns with, and writes what it changed. */
const commitWork = async <T>(pool: pg.Pool, work: Work<T>): Promise<Worked<T>> => {
  const minted = new Map<string, string>();
  const { fetched } = await workedOut(pool, new Map(), minted, work);
  return transaction(pool, `select pg_advisory_xact_lock(${locks.order})`, async (client) => {
    const worked = await workedOut(client, fetched, minted, work);
    await writeRows(client, worked.set.changes());
    return worked;
  });
};

const unavailable = (cause: unknown): Problem =>
  cause instanceof Problem
    ? cause
    : new Problem("ledger_unavailable", "the decision could not be recorded, so nothing was answered", {
        cause,
      });

/** Whether the database refused what was written, so that one act of several may be at fault. */
const isRefusal = (error: unknown): boolean => {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("22") || code.startsWith("23");
};

/** Opens a ledger. `bound` judges and admits inside the acts. @throws Problem when it can't be opened safely */
export const openLedger = async (url: string, bound: Bound, options: LedgerOptions): Promise<Ledger> => {
  const { warn = nobody, tell = nobody } = options;
  const pool = await openPool(url, warn, options.limits);
  const tree = await createTree(pool, options.tree).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  let book: ReadonlyMap<string, Budget> = new Map();
  const run = async <T>(work: Work<T>): Promise<T> => {
    const { value, set, warnings } = await commitWork(pool, work);
    for (const warning of warnings) warn(warning);
    for (const { body } of set.changedIn<{ body: string }>("alert")) tell(readAlert(body));
    return value;
  };
  const all =
    (commands: readonly CommonCommand[]): Work<Done[]> =>
    (desk, heard) => {
      const acts = createActs(bound, heard);
      const instants = commands.map((command) =>
        command.kind === "decide" ? command.act.at : command.command.at,
      );
      // What has lapsed by now stands in nobody's way.
      acts.holds.lapse(desk, book, Math.max(0, ...instants));
      return commands.map((command) =>
        performOne(desk, command, () => acts.perform({ desk, book }, command), heard),
      );
    };
  const settle = async (group: readonly Waiting[]): Promise<void> => {
    try {
      const done = await run(all(group.map(({ command }) => command)));
      for (const [position, { resolve }] of group.entries()) resolve(done[position]!);
    } catch (error) {
      if (group.length > 1 && isRefusal(error)) for (const one of group) await settle([one]);
      else for (const { reject } of group) reject(unavailable(error));
    }
  };
  const written = async <T>(work: Work<T>): Promise<T> => {
    try {
      return await run(work);
    } catch (error) {
      throw unavailable(error);
    }
  };
  /** Takes budgets over, unless something stands against them. */
  const taken = async (budgets: readonly Budget[], work: Work<BookFault[]>): Promise<BookFault[]> => {
    const faults = await written(work);
    if (faults.length === 0) book = new Map(budgets.map((budget) => [budget.id, budget]));
    return faults;
  };
  const queue: Waiting[] = [];
  let busy: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    while (queue.length > 0) await settle(queue.splice(0, groupMax));
    busy = undefined;
  };
  return {
    ...tree,
    perform: (command) =>
      new Promise((resolve, reject) => {
        queue.push({ command, resolve, reject });
        busy ??= drain();
      }),
    lapse: async (at) => {
      try {
        const lapsed = await run((desk, heard) => createActs(bound, heard).holds.lapse(desk, book, at));
        await pool.query("delete from idempotency where at < $1", [at - replyKeptMicros]);
        return lapsed;
      } catch (error) {
        throw unavailable(error);
      }
    },
    takeBook: (budgets) => taken(budgets, (desk) => keepBook(desk, budgets)),
    activate: async (activated, budgets) => {
      const faults = await taken(budgets, (desk) => putInForce(desk, activated, budgets));
      if (faults.length === 0 && !activated.command) await forgetLoads(pool);
      return faults;
    },
    activations: activationViews(pool),
    tripEngine: (trip) => written((desk) => recordTrip(desk, trip)),
    close: async () => {
      await busy;
      await pool.end();
    },
  };
};
