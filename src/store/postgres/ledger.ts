/**
 * The ledger in PostgreSQL, for as many processes as there are. What arrives while a commit is under way is the next one. A
 * commit takes the lock on the order of entries, reads what its acts will touch, does them, and writes. So all processes share
 * one order, one tree and every balance, and no permit comes after the stopping of its agent.
 */
import type { Alert } from "../../alert/alert.ts";
import type { Sink } from "../../alert/sink.ts";
import type { OutboxStore } from "../../alert/store.ts";
import type { Budget } from "../../budget/budget.ts";
import type { AccountView } from "../../budget/store.ts";
import type { Bound, Epochs } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import type { Closing } from "../../ledger/closing.ts";
import type { Activated } from "../../policy/store.ts";
import { putInForce } from "../acts/activations.ts";
import type { BalanceFault } from "../acts/audit.ts";
import { type BookFault, keepBook } from "../acts/book.ts";
import { type EngineTrip, recordTrip } from "../acts/engine-trip.ts";
import { createFigures, type LedgerFigures } from "../acts/figures.ts";
import { createActs } from "../acts/perform.ts";
import { replyKeptMicros } from "../acts/replies.ts";
import { type AccountViews, createAccountViews } from "./account-views.ts";
import { type ActivationViews, activationViews, forgetLoads } from "./activations.ts";
import { auditBalances } from "./audit.ts";
import { type Commits, createCommits, unreadable, type Work } from "./commit.ts";
import { createEntryViews, type EntryViews } from "./entries.ts";
import { readEpochs, readTime } from "./epochs.ts";
import { smallFigures } from "./figures.ts";
import { headsDue } from "./heads.ts";
import { createErase, type Erase } from "./erase.ts";
import { ended } from "./ended.ts";
import { foreseenOfHold } from "./foreseen.ts";
import { createLead, type Lead } from "./lead.ts";
import { createLists, type Lists } from "./lists.ts";
import { readClosing } from "./closing.ts";
import { type Limits, openPool, snapshot } from "./open.ts";
import { createOutbox } from "./outbox.ts";
import { createPrune, type Prune } from "./prune.ts";
import { createQueue, type Queue } from "./queue.ts";
import { readRows } from "./rows.ts";
import { createStreams, type Streams } from "./streams.ts";
import { createTree, type Tree, type TreeOptions } from "./tree.ts";
import { createTrials, type Trials } from "./try-out.ts";
import { createWritable, type Writable } from "./writes.ts";

export type LedgerOptions = {
  tree: TreeOptions;
  /** How long anything may take; over it nothing was decided. */
  limits?: Partial<Limits>;
  /** Told of judgements that threw: each denied its own question. */
  warn?: (warning: string) => void;
  /** Who hears of alerts: they go into the outbox with the act that raised them, or not at all. */
  sinks?: readonly Sink[];
  /** Hears of each alert once. */
  tell?: (alert: Alert) => void;
};

export type Ledger = Tree &
  Lists &
  Trials &
  EntryViews &
  Pick<Queue, "perform"> &
  Omit<AccountViews, "accounts"> & {
    accounts: (budget: string, at: Micros, limit: number, after: string) => Promise<AccountView[]>;
    /** Recomputes every balance from the entries; what differs. */
    auditBalances: () => Promise<BalanceFault[]>;
    erase: Erase;
    prune: Prune;
    /** What is left of pruned entries. */
    closing: () => Promise<Closing | undefined>;
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
    /** Whether the ends of chains should be logged again: entries came, and the last time is that long ago. */
    headsDue: (at: Micros, intervalMicros: number) => Promise<boolean>;
    outbox: OutboxStore;
    streams: Streams;
    /** Whether this process is the one that does what one alone should do. */
    lead: Lead["lead"];
    /** How often what processes hold in memory was changed. */
    epochs: () => Promise<Epochs>;
    /** What the database's clock says: one clock decides for all processes which window a question falls into. */
    time: () => Promise<Micros>;
    writable: Writable;
    /** What metrics show of it. */
    figures: (at: Micros) => Promise<LedgerFigures>;
    close: () => Promise<void>;
  };

const nobody = (): void => undefined;

const budgetOf = (book: ReadonlyMap<string, Budget>, id: string): Budget => {
  const budget = book.get(id);
  if (!budget) throw new Problem("not_found", `there is no budget \`${id}\``, { field: "budget" });
  return budget;
};

/** Budgets in force in this process, taken over with what is in the database. */
type Books = {
  now: () => ReadonlyMap<string, Budget>;
  /** Takes budgets over, unless something stands against them. */
  take: (budgets: readonly Budget[], work: Work<BookFault[]>) => Promise<BookFault[]>;
};

const createBooks = ({ write }: Pick<Commits, "write">): Books => {
  let book: ReadonlyMap<string, Budget> = new Map();
  return {
    now: () => book,
    take: async (budgets, work) => {
      const faults = await write(work);
      if (faults.length === 0) book = new Map(budgets.map((budget) => [budget.id, budget]));
      return faults;
    },
  };
};

/** What fails on the way to the database says so in the words of callers. */
const guarded =
  <Given extends unknown[], T>(read: (...given: Given) => Promise<T>) =>
  async (...given: Given): Promise<T> => {
    try {
      return await read(...given);
    } catch (error) {
      throw unreadable(error);
    }
  };

const guardedAll = <T extends Record<string, (...given: never[]) => Promise<unknown>>>(reads: T): T =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each is what it was
  Object.fromEntries(Object.entries(reads).map(([name, read]) => [name, guarded(read)])) as T;

/** Opens a ledger. `bound` judges and admits inside the acts. @throws Problem when it can't be opened safely */
export const openLedger = async (url: string, bound: Bound, options: LedgerOptions): Promise<Ledger> => {
  const { warn = nobody, tell = nobody, sinks = [] } = options;
  const pool = await openPool(url, warn, options.limits);
  const tree = await createTree(pool, options.tree).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  const commits = createCommits(pool, { sinks, warn, tell });
  const books = createBooks(commits);
  const queue = createQueue(commits, bound, books.now, (command) =>
    foreseenOfHold(pool, command, books.now()),
  );
  const lead = createLead(url);
  const { accounts, ...views } = createAccountViews(pool, commits);
  return {
    ...tree,
    ...guardedAll(createLists(pool)),
    ...guardedAll(createEntryViews(pool)),
    ...guardedAll(views),
    ...createTrials(commits, bound, books.now),
    perform: queue.perform,
    erase: createErase(pool, commits),
    prune: createPrune(commits),
    closing: guarded(() => snapshot(pool, readClosing)),
    accounts: guarded((id, ...page) => accounts(budgetOf(books.now(), id), ...page)),
    auditBalances: guarded(() => auditBalances(pool)),
    lapse: async (at) => {
      await guarded(() => forgetOld(pool, at))();
      // Every service looks, all the time: nobody's turn is taken where nothing is due.
      if (!(await guarded(() => isLapseDue(pool, at))())) return 0;
      return commits.write((desk, heard) => createActs(bound, heard).holds.lapse(desk, books.now(), at));
    },
    takeBook: (budgets) => books.take(budgets, (desk) => keepBook(desk, budgets)),
    activate: async (activated, budgets) => {
      const faults = await books.take(budgets, (desk) => putInForce(desk, activated, budgets));
      if (faults.length === 0 && !activated.command) await guarded(() => forgetLoads(pool))();
      return faults;
    },
    activations: guardedAll(activationViews(pool)),
    tripEngine: (trip) => commits.write((desk) => recordTrip(desk, trip)),
    headsDue: guarded((at, interval) => headsDue(pool, at, interval)),
    outbox: guardedAll(createOutbox(pool)),
    streams: guardedAll(createStreams(pool)),
    lead: lead.lead,
    epochs: guarded(() => readEpochs(pool)),
    time: guarded(() => readTime(pool)),
    writable: createWritable(pool),
    figures: guarded(createFigures(smallFigures(pool), books.now, accounts)),
    close: async () => {
      await queue.settled();
      await lead.close();
      await ended(pool.end());
    },
  };
};

const isLapseDue = async (pool: Parameters<typeof readRows>[0], at: Micros): Promise<boolean> => {
  const found = await readRows(
    pool,
    "select 1 as one from hold where state = 'open' and expires_at <= $1 limit 1",
    [at],
  );
  return found.length > 0;
};

/** Answers and proofs that nobody will ask for again. */
const forgetOld = async (pool: Parameters<typeof readRows>[0], at: Micros): Promise<void> => {
  await readRows(pool, "delete from idempotency where at < $1", [at - replyKeptMicros]);
  await readRows(pool, "delete from proof where until <= $1", [at]);
};
