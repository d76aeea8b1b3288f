/**
 * The ledger's core: synchronous, in one thread, the only writer. Acts are judged, admitted and written in order
 * inside one transaction; what a caller is told was committed and synced before.
 */
import type { Database } from "better-sqlite3";
import type { AgentKey, KeptAgents, Kill } from "../../agent/store.ts";
import type { Delegation } from "../../agent/delegation.ts";
import type { Alert } from "../../alert/alert.ts";
import { type Sink, sinksFor } from "../../alert/sink.ts";
import type { Budget } from "../../budget/budget.ts";
import type { AccountView, Grant, UsageQuery, UsageSum } from "../../budget/store.ts";
import type { Balances, Decided, Verdict } from "../../decision/question.ts";
import type { Act, Bound } from "../../decision/store.ts";
import type { EntityPage } from "../../entity/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { databaseText, isDatabaseFailure } from "./failure.ts";
import type { Closing } from "../../ledger/closing.ts";
import type { EntryFilter, EntryPage, EntryShown, LegalHold } from "../../ledger/store.ts";
import type { Activated } from "../../policy/store.ts";
import { type ActivationViews, activationViews } from "./activations.ts";
import { putInForce } from "../acts/activations.ts";
import { keyStanding } from "../acts/agent-keys.ts";
import type { DelegationFilter } from "../acts/delegations.ts";
import type { Done } from "../acts/perform.ts";
import { agentKeyRows } from "./agent-keys.ts";
import { agentRows } from "./agents.ts";
import { createAccountViews } from "./account-views.ts";
import type { BalanceFault } from "../acts/audit.ts";
import { auditBalances } from "./audit.ts";
import { type BookFault, keepBook } from "../acts/book.ts";
import type { KeptCaller } from "../acts/callers.ts";
import { callerRows } from "./callers.ts";
import { createDelegations } from "./delegations.ts";
import { createDesk, type Desk } from "./desk.ts";
import { entityPages } from "./entities.ts";
import { type EngineTrip, recordTrip } from "../acts/engine-trip.ts";
import { readEntries, readEntry } from "./entries.ts";
import { agentsOfHold } from "./holds.ts";
import { createKills } from "./kills.ts";
import { readClosing } from "./closing.ts";
import { legalHolds } from "./legal-holds.ts";
import { createHeadsDue } from "./heads.ts";
import { type OpenOptions, openDatabase } from "./open.ts";
import { type OutboxRows, outboxRows } from "./outbox.ts";
import { createFacets } from "./facets.ts";
import { type StreamRows, streamRows } from "./streams.ts";
import { type AccountsOf, createFigures, type LedgerFigures } from "../acts/figures.ts";
import { smallFigures } from "./figures.ts";
import { createWrites, type Writes } from "./writes.ts";
import { createTryOut, type TryOut } from "./try-out.ts";
import { createTree, type TreeOptions, type TreeRows, treeRows } from "./tree.ts";
import type { Command } from "../acts/threaded.ts";
import { createPerform, type Room } from "./perform.ts";

export type LedgerOptions = OpenOptions & {
  /** Told of judgements that threw: each denied its own question. */
  warn?: (warning: string) => void;
  /** Who hears of alerts: they go into the outbox with the act that raised them, or not at all. */
  sinks?: readonly Sink[];
  /** Hears of each alert as well, once, for the log. */
  tell?: (alert: Alert) => void;
  /** The keys that sign the tree; without them the tree is read only. */
  tree?: TreeOptions;
};

export type Ledger = {
  /**
   * Does these acts in order, in one commit.
   * @throws Problem `ledger_unavailable`: nothing was recorded, nothing was decided
   */
  commit: (commands: readonly Command[]) => Done[];
  decide: (act: Act) => Decided[];
  /** Decides in an act that is undone. @throws Problem `ledger_unavailable` */
  tryAct: (act: Act) => Decided[];
  /** Judges and admits questions as they would be decided now; nothing is consumed and nothing recorded. */
  tryOut: (facts: readonly string[]) => Verdict[];
  /** The accounts that a question touches, as they are now. */
  balancesOf: (facts: string) => Balances;
  /** Lapses holds whose time is over; how many there were. */
  lapse: (at: Micros) => number;
  /** Takes budgets over, or says why it can't. */
  takeBook: (budgets: readonly Budget[]) => BookFault[];
  accounts: (budget: string, at: Micros, limit: number, after: string) => AccountView[];
  grants: (budget: string) => Grant[];
  usage: (query: UsageQuery) => UsageSum[];
  /** Recomputes every balance from the entries; what differs. */
  auditBalances: () => BalanceFault[];
  keptAgents: () => KeptAgents;
  kills: () => Kill[];
  standingKills: () => readonly Kill[];
  delegations: (filter: DelegationFilter) => Delegation[];
  /** What is kept of entities, in pages. */
  keptEntities: (after?: Uid) => EntityPage;
  agentsOfHold: (hold: string) => string[];
  agentKeys: (agent: string) => AgentKey[];
  /** The agent whose key this is at the instant. */
  agentOfKey: (hash: string, at: Micros) => string | undefined;
  outbox: OutboxRows;
  entries: (filter: EntryFilter) => EntryPage;
  streams: StreamRows;
  legalHolds: () => LegalHold[];
  /** What is left of pruned entries. */
  closing: () => Closing | undefined;
  entry: (ref: number | string) => EntryShown | undefined;
  tree: TreeRows;
  /** Takes committed entries into the tree, a step at a time, and signs a checkpoint when it has all. */
  integrate: (at: Micros) => { more: boolean; signed?: string };
  /** Whether the ends of chains should be logged again: entries came, and the last time is that long ago. */
  headsDue: (at: Micros, intervalMicros: number) => boolean;
  /** The newest checkpoint, after taking in everything. */
  checkpoint: (at: Micros) => string;
  writable: () => { ok: true } | { ok: false; error: string };
  /** What metrics show of it; walks over many accounts take more than one asking. */
  figures: (at: Micros) => Promise<LedgerFigures>;
  /** Records that the compiled engine differed from Cedar, and tells of it. */
  tripEngine: (trip: EngineTrip) => void;
  /**
   * Puts files in force, with the entry where someone said so, in one act; or says what stands against their budgets.
   * @throws Problem `conflict` when other files are in force than the command was for
   */
  activate: (activated: Activated, budgets: readonly Budget[]) => BookFault[];
  activations: ActivationViews;
  policySet: (digest: string) => string | undefined;
  callers: () => KeptCaller[];
  /** Bounds the file anew, in pages. */
  bound: (pagesMax: number) => void;
  close: () => void;
};

/** What needs no more than the file. */
const readsOf = (
  db: Database,
): Pick<
  Ledger,
  | "grants"
  | "usage"
  | "auditBalances"
  | "entry"
  | "policySet"
  | "agentsOfHold"
  | "agentKeys"
  | "agentOfKey"
  | "keptAgents"
  | "kills"
  | "standingKills"
  | "delegations"
  | "keptEntities"
  | "legalHolds"
  | "closing"
  | "headsDue"
> => {
  const policySet = db.prepare<[string], string>("select body from policy_set where digest = ?").pluck();
  const views = createAccountViews(db);
  const keys = agentKeyRows(db);
  const keptEntities = entityPages(db);
  return {
    keptEntities,
    legalHolds: () => legalHolds(db),
    closing: () => readClosing(db),
    headsDue: createHeadsDue(db),
    grants: (budget) => views.grants(budget),
    usage: (query) => views.usage(query),
    auditBalances: () => auditBalances(db),
    entry: (ref) => readEntry(db, ref),
    keptAgents: () => agentRows(db).kept(),
    kills: () => createKills(db).list(),
    standingKills: () => createKills(db).standing(),
    delegations: (filter) => createDelegations(db).list(filter),
    agentsOfHold: agentsOfHold(db),
    agentKeys: (agent) => keys.list(agent),
    agentOfKey: (hash, at) => {
      const key = keys.find(hash);
      return keyStanding(key, at) === "active" ? key!.agent : undefined;
    },
    policySet: (digest) => policySet.get(digest),
  };
};

const nobody = (): void => undefined;

/** An alert goes into the outbox with the act that raised it; one that is there already is not told again. */
const teller =
  (outbox: OutboxRows, { sinks = [], tell = nobody }: LedgerOptions) =>
  (alert: Alert): void => {
    if (outbox.insertAlert(alert, sinksFor(sinks, alert.type))) tell(alert);
  };

const budgetOf = (book: Room["book"], id: string): Budget => {
  const budget = book.get(id);
  if (!budget) throw new Problem("not_found", `there is no budget \`${id}\``, { field: "budget" });
  return budget;
};

/** What only looks fails as what writes does, but says nothing of whether writing works. */
const read = <T>(look: () => T): T => {
  try {
    return look();
  } catch (cause) {
    throw new Problem("ledger_unavailable", "the ledger can't be read", { cause });
  }
};

const trialsOf = (tryOut: TryOut, desk: () => Desk): Pick<Ledger, "tryOut" | "balancesOf"> => ({
  tryOut: (facts) => read(() => tryOut.all(desk(), facts)),
  balancesOf: (facts) => read(() => tryOut.balances(desk(), facts)),
});

/** Looking for references to each of many entries would take a look at all of their rows: they go with them anyway. */
const withoutReferences = <T>(db: Database, act: () => T): T => {
  db.pragma("foreign_keys = 0");
  try {
    return act();
  } finally {
    db.pragma("foreign_keys = 1");
  }
};

/**
 * Commits; what was erased is then gone from the file and its log of writes too, and `before` nothing of it may be left to
 * be found. Where the file can't be written anew (that takes as much space again), the next commit tries again.
 */
const committer = (
  db: Database,
  { before, all, warn }: { before: () => void; all: Ledger["commit"]; warn: (warning: string) => void },
): Ledger["commit"] => {
  let due = false;
  const scrub = (): void => {
    try {
      // Pages keep what once stood in them where rows were moved, whatever `secure_delete` clears: only a new file doesn't.
      db.exec("vacuum");
      db.pragma("wal_checkpoint(truncate)");
      due = false;
    } catch (error) {
      warn(`what was erased may still stand in the file: ${String(error)}`);
    }
  };
  return (commands) => {
    const erases = commands.some(({ kind }) => kind === "erase");
    const prunes = commands.some(({ kind }) => kind === "prune");
    if (erases || prunes) before();
    const done = prunes ? withoutReferences(db, () => all(commands)) : all(commands);
    due ||= erases;
    if (due) scrub();
    return done;
  };
};

/** Does acts; where they break all of it is undone, so nothing that they left in memory may stay. */
const actsOf =
  (db: Database, { settle, forget }: { settle: () => void; forget: () => void }) =>
  <T>(act: () => T): T =>
    db
      .transaction(() => {
        try {
          const value = act();
          settle();
          return value;
        } catch (error) {
          forget();
          throw error;
        }
      })
      .immediate();

const streamsOf = (db: Database, durable: Writes["durable"]): StreamRows => {
  const rows = streamRows(db);
  return { cursor: rows.cursor, move: (cursor) => durable(() => rows.move(cursor)) };
};

const open = (file: string, bound: Bound, options: LedgerOptions): Ledger => {
  const db = openDatabase(file, options);
  const outbox = outboxRows(db);
  const tell = teller(outbox, options);
  const views = createAccountViews(db);
  const accountsOf = (...asked: Parameters<AccountsOf>): AccountView[] =>
    views.accounts(room().desk.accounts, ...asked);
  const perform = createPerform(db, bound, options.warn ?? nobody);
  // Absent after a failure: made anew with the next commit, as a file that can't be written may not be readable either.
  let desk: Desk | undefined = createDesk(db, tell);
  let book: Room["book"] = new Map();
  const room = (): Room => {
    desk ??= createDesk(db, tell);
    return { desk, book };
  };
  const writes = createWrites(db, () => (desk = undefined));
  const { durable } = writes;
  const callers = callerRows(db);
  const facets = createFacets(db);
  // At the first start on a ledger of an earlier version there is much to take in.
  facets.catchUp();
  const rows = treeRows(db);
  const tree = options.tree && createTree(db, rows, options.tree);
  const inOne = actsOf(db, { settle: () => desk?.settle(), forget: () => (desk = undefined) });

  /** Takes budgets over, unless something stands against them. */
  const taken = (budgets: readonly Budget[], act: () => BookFault[]): BookFault[] => {
    const faults = durable(() => inOne(act));
    if (faults.length === 0) book = new Map(budgets.map((budget) => [budget.id, budget]));
    return faults;
  };
  const commit = committer(db, {
    before: () => durable(facets.catchUp),
    all: (commands) => durable(() => inOne(() => perform.all(room(), commands))),
    warn: options.warn ?? nobody,
  });
  return {
    commit,
    decide: (act) => {
      const [result] = commit([{ kind: "decide", act }]);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a decision is always a value
      return (result as { value: Decided[] }).value;
    },
    tryAct: (act) => perform.undone(room(), act),
    lapse: (at) => durable(() => inOne(() => perform.lapse(room(), at))),
    takeBook: (budgets) => taken(budgets, () => keepBook(room().desk, budgets)),
    accounts: (id, ...page) => accountsOf(budgetOf(book, id), ...page),
    ...readsOf(db),
    streams: streamsOf(db, durable),
    entries: (filter) => {
      durable(facets.catchUp);
      return readEntries(db, filter);
    },
    ...trialsOf(createTryOut(db, bound, options.warn ?? nobody), () => room().desk),
    outbox,
    tree: rows,
    integrate: (at) => {
      const more = durable(facets.step);
      const grown = tree ? writes.extend(() => tree.step(at)) : { more: false };
      return { ...grown, more: grown.more || more };
    },
    checkpoint: (at) => (tree ? writes.extend(() => tree.checkpoint(at)) : (rows.newest()?.note ?? "")),
    writable: () => writes.writable(),
    figures: createFigures(smallFigures(db), () => book, accountsOf),
    tripEngine: (trip) => durable(() => inOne(() => recordTrip(room().desk, trip))),
    activate: (activated, budgets) => taken(budgets, () => putInForce(room().desk, activated, budgets)),
    activations: activationViews(db),
    callers: () => callers.list(),
    bound: (pagesMax) => void db.pragma(`max_page_count = ${pagesMax}`),
    close: () => {
      db.pragma("wal_checkpoint(truncate)");
      db.close();
    },
  };
};

/** Opens a ledger. `bound` judges and admits inside the act. @throws Problem when it can't be opened safely */
export const openLedger = (file: string, bound: Bound, options: LedgerOptions = {}): Ledger => {
  try {
    return open(file, bound, options);
  } catch (error) {
    if (!isDatabaseFailure(error)) throw error;
    const detail = `the ledger can't be opened: ${databaseText(error)}; \`remit ledger verify\` tells what of it is sound`;
    throw new Problem("not_ready", detail, { cause: error });
  }
};
