/**
 * The ledger's core: synchronous, in one thread, the only writer. Acts are judged, admitted and written in order
 * inside one transaction; what a caller is told was committed and synced before.
 */
import type { Database } from "better-sqlite3";
import type {
  AgentCommand,
  AgentKey,
  DelegationCommand,
  KeptAgents,
  KeyCommand,
  Kill,
  KillCommand,
} from "../../agent/store.ts";
import type { Delegation } from "../../agent/delegation.ts";
import type { Alert } from "../../alert/alert.ts";
import { type Sink, sinksFor } from "../../alert/sink.ts";
import type { Budget } from "../../budget/budget.ts";
import type {
  AccountView,
  AdjustCommand,
  Grant,
  GrantCommand,
  HoldCommand,
  UsageCommand,
  UsageQuery,
  UsageSum,
} from "../../budget/store.ts";
import type { Balances, Decided, Verdict } from "../../decision/question.ts";
import type { Act, Bound, SearchCommand } from "../../decision/store.ts";
import type { EntityCommand, EntityPage } from "../../entity/store.ts";
import type { Caller } from "../../identity/caller.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem, type ProblemCode } from "../../kit/problem.ts";
import type { EntryFilter, EntryShown, EntryView } from "../../ledger/store.ts";
import type { Activated } from "../../policy/store.ts";
import { activationRows, putInForce, type ActivationRows } from "./activations.ts";
import { agentKeyRows, createKeyActs, keyStanding } from "./agent-keys.ts";
import { agentRows, chainName, createAgentActs } from "./agents.ts";
import { createAccountActs } from "./account-acts.ts";
import { createAccountViews } from "./account-views.ts";
import { type BalanceFault, auditBalances } from "./audit.ts";
import { type BookFault, keepBook } from "./book.ts";
import { type CallerRows, callerRows, type KeptCaller } from "./callers.ts";
import { createDecide } from "./decide.ts";
import { createDelegations, delegationAct, type DelegationFilter } from "./delegations.ts";
import { createDesk, type Desk } from "./desk.ts";
import { createEntityActs, entityPages } from "./entities.ts";
import { type EngineTrip, recordTrip } from "./engine-trip.ts";
import { readEntries, readEntry } from "./entries.ts";
import { isDatabaseFailure } from "./failure.ts";
import { createKills, killAct } from "./kills.ts";
import { createHoldActs } from "./hold-acts.ts";
import { createLedgerActs, type LedgerCommand } from "./ledger-acts.ts";
import { type OpenOptions, openDatabase } from "./open.ts";
import { type OutboxRows, outboxRows } from "./outbox.ts";
import { createFacets } from "./facets.ts";
import { createWrites } from "./writes.ts";
import { createTryOut, searchAct, type TryOut } from "./try-out.ts";
import { createTree, type TreeOptions, type TreeRows, treeRows } from "./tree.ts";

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
  | LedgerCommand;

/** What an act came to: a refusal of one act is no failure of the commit. */
export type Done = { value: unknown } | { problem: { code: ProblemCode; detail: string; field?: string } };

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
  agentKeys: (agent: string) => AgentKey[];
  /** The agent whose key this is at the instant. */
  agentOfKey: (hash: string, at: Micros) => string | undefined;
  outbox: OutboxRows;
  entries: (filter: EntryFilter) => { entries: EntryView[]; next?: number };
  entry: (ref: number | string) => EntryShown | undefined;
  tree: TreeRows;
  /** Takes committed entries into the tree, a step at a time, and signs a checkpoint when it has all. */
  integrate: (at: Micros) => { more: boolean; signed?: string };
  /** The newest checkpoint, after taking in everything. */
  checkpoint: (at: Micros) => string;
  writable: () => { ok: true } | { ok: false; error: string };
  /** Records that the compiled engine differed from Cedar, and tells of it. */
  tripEngine: (trip: EngineTrip) => void;
  /**
   * Puts files in force, with the entry where someone said so, in one act; or says what stands against their budgets.
   * @throws Problem `conflict` when other files are in force than the command was for
   */
  activate: (activated: Activated, budgets: readonly Budget[]) => BookFault[];
  activations: ActivationRows;
  policySet: (digest: string) => string | undefined;
  addCaller: (caller: Caller) => void;
  callers: () => KeptCaller[];
  revokeCaller: (name: string) => void;
  /** Bounds the file anew, in pages. */
  bound: (pagesMax: number) => void;
  close: () => void;
};

const problemOf = ({ code, detail, field }: Problem): Done => ({
  problem: field === undefined ? { code, detail } : { code, detail, field },
});

const instantOf = (command: Command): Micros =>
  command.kind === "decide" ? command.act.at : command.command.at;

/** What acts work with from one commit to the next. */
type Room = { desk: Desk; book: ReadonlyMap<string, Budget> };

type Perform = {
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

const createPerform = (db: Database, bound: Bound, warn: (warning: string) => void): Perform => {
  const holds = createHoldActs(db, warn);
  const accounts = createAccountActs(db);
  const keys = createKeyActs(db);
  const agents = createAgentActs(db);
  const decide = createDecide(db, bound, warn);
  const entities = createEntityActs(db);
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
      case "kill": {
        const { at, caller } = command.command;
        return killAct(desk, command.command, (ids, how) => holds.stop(desk, book, { ids, how, at, caller }));
      }
      case "delegation":
        return delegationAct(desk, command.command);
      case "agent_key":
        return keys(desk, command.command);
      case "entity":
        return entities(desk, command.command);
      case "search":
        return searchAct(desk, command.command);
      case "heads":
      case "outcome":
      case "note":
      case "erase":
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
  | "agentKeys"
  | "agentOfKey"
  | "keptAgents"
  | "kills"
  | "standingKills"
  | "delegations"
  | "keptEntities"
> => {
  const policySet = db.prepare<[string], string>("select body from policy_set where digest = ?").pluck();
  const views = createAccountViews(db);
  const keys = agentKeyRows(db);
  const keptEntities = entityPages(db);
  return {
    keptEntities,
    grants: (budget) => views.grants(budget),
    usage: (query) => views.usage(query),
    auditBalances: () => auditBalances(db),
    entry: (ref) => readEntry(db, ref),
    keptAgents: () => agentRows(db).kept(),
    kills: () => createKills(db).list(),
    standingKills: () => createKills(db).standing(),
    delegations: (filter) => createDelegations(db).list(filter),
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
    if (erases) before();
    const done = all(commands);
    due ||= erases;
    if (due) scrub();
    return done;
  };
};

/** Opens a ledger. `bound` judges and admits inside the act. @throws Problem when it can't be opened safely */
export const openLedger = (file: string, bound: Bound, options: LedgerOptions = {}): Ledger => {
  const db = openDatabase(file, options);
  const outbox = outboxRows(db);
  const tell = teller(outbox, options);
  const callers: CallerRows = callerRows(db);
  const views = createAccountViews(db);
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
  const facets = createFacets(db);
  // At the first start on a ledger of an earlier version there is much to take in.
  facets.catchUp();
  const rows = treeRows(db);
  const tree = options.tree && createTree(db, rows, options.tree);
  const commitAll = db.transaction((commands: readonly Command[]) => perform.all(room(), commands));
  const lapse = db.transaction((at: Micros) => perform.lapse(room(), at));

  /** Takes budgets over, unless something stands against them. */
  const taken = (budgets: readonly Budget[], act: () => BookFault[]): BookFault[] => {
    const faults = durable(() => db.transaction(act).immediate());
    if (faults.length === 0) book = new Map(budgets.map((budget) => [budget.id, budget]));
    return faults;
  };
  const commit = committer(db, {
    before: () => durable(facets.catchUp),
    all: (commands) => durable(() => commitAll.immediate(commands)),
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
    lapse: (at) => durable(() => lapse.immediate(at)),
    takeBook: (budgets) => taken(budgets, () => keepBook(db, budgets)),
    accounts: (id, at, limit, after) =>
      views.accounts(room().desk.accounts, budgetOf(book, id), at, limit, after),
    ...readsOf(db),
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
    tripEngine: (trip) => durable(() => db.transaction(() => recordTrip(room().desk, trip)).immediate()),
    activate: (activated, budgets) => taken(budgets, () => putInForce(db, room().desk, activated, budgets)),
    activations: activationRows(db),
    addCaller: (caller) => durable(() => callers.add(caller)),
    callers: () => callers.list(),
    revokeCaller: (name) => durable(() => callers.revoke(name)),
    bound: (pagesMax) => void db.pragma(`max_page_count = ${pagesMax}`),
    close: () => {
      db.pragma("wal_checkpoint(truncate)");
      db.close();
    },
  };
};
