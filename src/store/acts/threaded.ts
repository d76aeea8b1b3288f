/**
 * The ledger from the main thread: acts queue up while the writer commits and go to it together. Nothing waits for a
 * timer: a lone act leaves at once, and what arrives during a commit is the next one.
 */
import type {
  AgentCommand,
  AgentKey,
  AgentStore,
  DelegationCommand,
  KeyCommand,
  Kill,
  KillCommand,
} from "../../agent/store.ts";
import type { Delegation } from "../../agent/delegation.ts";
import type { OutboxStore } from "../../alert/store.ts";
import type { Decided } from "../../decision/question.ts";
import type { Act, DecisionStore, SearchCommand, TrialStore } from "../../decision/store.ts";
import type { BalanceFault } from "./audit.ts";
import type { CommonCommand, Done } from "./perform.ts";
import type { EntityCommand, EntityStore } from "../../entity/store.ts";
import type { CallerCommand, CallerStore, ProofCommand, ProofStore } from "../../identity/store.ts";
import { Problem } from "../../kit/problem.ts";
import type { Calls } from "../../kit/thread.ts";
import type {
  EraseCommand,
  Erased,
  ExportedCommand,
  HeadsCommand,
  HeadsTaken,
  LedgerStore,
  LegalHold,
  LegalHoldCommand,
  NoteCommand,
  OutcomeCommand,
  OutcomeView,
  Pruned,
  PruneCommand,
} from "../../ledger/store.ts";
import type { StreamStore } from "../../ledger/stream.ts";
import type { ActivationStore, Standing } from "../../policy/store.ts";
import type {
  AccountView,
  AdjustCommand,
  BudgetStore,
  Grant,
  GrantCommand,
  HoldCommand,
  HoldView,
  UsageCommand,
  UsageView,
} from "../../budget/store.ts";
import type { LedgerFigures } from "./figures.ts";

type AccountsQuery = { budget: string; at: number; limit: number; after: string };

type KeyQuery = { keyHash: string; at: number };

/** How long a commit took in the writer's thread, and of that each judgement. Travels with the answers. */
type WriterTimes = { judgedMs: number[]; commitMs: number };

/** What a commit came to. */
export type Committed = { done: Done[]; times: WriterTimes };

/** Times of judgements since it was last asked. */
export type Stopwatch = { take: () => number[] };

/** What both ledgers answer alike, at once or later. */
type Answering = {
  [
    Name in
      | "tryAct"
      | "tryOut"
      | "balancesOf"
      | "accounts"
      | "grants"
      | "usage"
      | "auditBalances"
      | "keptAgents"
      | "kills"
      | "standingKills"
      | "delegations"
      | "keptEntities"
      | "agentsOfHold"
      | "agentKeys"
      | "agentOfKey"
      | "entries"
      | "entry"
      | "policySet"
      | "legalHolds"
      | "writable"
      | "figures"
      | "callers"
  ]: (...given: never[]) => unknown;
} & {
  accounts: (budget: string, at: number, limit: number, after: string) => unknown;
  agentOfKey: (keyHash: string, at: number) => unknown;
  activations: { list: () => unknown; files: (digest: string) => unknown; standing: () => unknown };
  streams: {
    cursor: (name: string) => unknown;
    move: (cursor: { name: string; index: number }) => unknown;
  };
};

/** What of a ledger the thread that has it answers, whichever it is; the counterpart of `connectLedger`. */
export const handlersOf = (ledger: Answering): Record<string, (value: never) => unknown> => ({
  tryAct: ledger.tryAct,
  tryOut: ledger.tryOut,
  balancesOf: ledger.balancesOf,
  accounts: ({ budget, at, limit, after }: AccountsQuery) => ledger.accounts(budget, at, limit, after),
  grants: ledger.grants,
  usage: ledger.usage,
  auditBalances: () => ledger.auditBalances(),
  keptAgents: () => ledger.keptAgents(),
  kills: () => ledger.kills(),
  standingKills: () => ledger.standingKills(),
  delegations: ledger.delegations,
  keptEntities: ledger.keptEntities,
  agentsOfHold: ledger.agentsOfHold,
  agentKeys: ledger.agentKeys,
  agentOfKey: ({ keyHash, at }: KeyQuery) => ledger.agentOfKey(keyHash, at),
  entries: ledger.entries,
  entry: ledger.entry,
  policySet: ledger.policySet,
  legalHolds: () => ledger.legalHolds(),
  streamCursor: ledger.streams.cursor,
  moveStreamCursor: ledger.streams.move,
  writable: () => ledger.writable(),
  figures: ledger.figures,
  activations: () => ledger.activations.list(),
  keptFiles: ledger.activations.files,
  standing: () => ledger.activations.standing(),
  callers: () => ledger.callers(),
});

export type ThreadedLedger = DecisionStore &
  TrialStore &
  LedgerStore &
  StreamStore &
  CallerStore &
  ProofStore &
  BudgetStore &
  ActivationStore &
  EntityStore &
  AgentStore & {
    /** Decides in an act that is undone. */
    tryAct: (act: Act) => Promise<Decided[]>;
    /** What was in force when the service last ran. */
    standing: () => Promise<Standing>;
    /** Recomputes every balance from the entries; what differs. */
    auditBalances: () => Promise<BalanceFault[]>;
    /** What metrics show of it. */
    figures: (at: number) => Promise<LedgerFigures>;
    /** Acts that wait for a commit. */
    waiting: () => number;
    /** How long a commit has been under way, in milliseconds; 0 where none is. What is done by itself may take long. */
    underWayMs: () => number;
    /** Commits what is queued and closes the file. */
    close: () => Promise<void>;
  };

/** One act of a commit, of whichever store. */
export type Command =
  | CommonCommand
  | { kind: "erase"; command: EraseCommand }
  | { kind: "prune"; command: PruneCommand };

type Waiting = {
  command: Command;
  since: number;
  trace: unknown;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
};

/** A group commit as the main thread saw it; `at` in milliseconds since the epoch. `commitMs` is without judging. */
export type CommitSeen = {
  questions: number;
  queuedMs: number[];
  judgedMs: readonly number[];
  commitMs: number;
  at: number;
  /** What `trace` gave for each act. */
  traces: unknown[];
};

/** Who watches commits: told of each, off the path of its answers. */
export type Watch = {
  /** What is told with an act's commit; asked when the act is queued. */
  trace?: (() => unknown) | undefined;
  committed: (seen: CommitSeen) => void;
};

/** While one batch is being synced, the next may already be on its way. */
const flightsMax = 2;

/** One commit's worth; more would hold up those that wait behind it. */
const batchQuestionsMax = 512;

/** How many questions a command is. */
export const sizeOf = (command: Command): number =>
  command.kind === "decide" ? command.act.facts.length : 1;

/** Longest that trials wait for acts that are on their way: whoever waits for an answer goes first, but not for ever. */
const giveWayMs = 8;

/** What looks through all entries is done by itself: those of its own commit couldn't be found yet. */
const isAlone = ({ kind }: Command): boolean => kind === "erase" || kind === "prune";

/** Takes acts from the front of the queue, at least one, up to a commit's worth of questions. */
const takeBatch = (queue: Waiting[]): Waiting[] => {
  let questions = 0;
  let taken = 0;
  while (taken < queue.length && (taken === 0 || questions < batchQuestionsMax)) {
    const { command } = queue[taken]!;
    if (taken > 0 && isAlone(command)) break;
    taken++;
    questions += sizeOf(command);
    if (isAlone(command)) break;
  }
  return queue.splice(0, taken);
};

type Called = Omit<
  ThreadedLedger,
  | "decide"
  | "tryOut"
  | "balancesOf"
  | "recordSearch"
  | "changeHold"
  | "reportUsage"
  | "grant"
  | "adjust"
  | "changeAgent"
  | "kill"
  | "delegate"
  | "rememberProof"
  | "changeCaller"
  | "changeAgentKey"
  | "takeHeads"
  | "changeEntities"
  | "reportOutcome"
  | "erase"
  | "note"
  | "prune"
  | "exported"
  | "changeLegalHold"
  | "waiting"
  | "underWayMs"
  | "close"
>;

/** What waits for no commit. */
const callsOf = (calls: Calls): Called => ({
  agentOfKey: (keyHash, at) => calls.call("agentOfKey", { keyHash, at }),
  agentsOfHold: (hold) => calls.call("agentsOfHold", hold),
  agentKeys: (agent) => calls.call("agentKeys", agent),
  delegations: (filter) => calls.call("delegations", filter),
  kills: () => calls.call("kills", undefined),
  standingKills: () => calls.call("standingKills", undefined),
  keptAgents: () => calls.call("keptAgents", undefined),
  tryAct: (act) => calls.call("tryAct", act),
  accounts: (budget, at, limit, after = "") => calls.call("accounts", { budget, at, limit, after }),
  grants: (budget) => calls.call("grants", budget),
  usage: (query) => calls.call("usage", query),
  auditBalances: () => calls.call("auditBalances", undefined),
  keptEntities: (after) => calls.call("keptEntities", after),
  entries: (filter) => calls.call("entries", filter),
  entry: (ref) => calls.call("entry", ref),
  policySet: (digest) => calls.call("policySet", digest),
  checkpoint: () => calls.call("checkpoint", undefined),
  tile: (name) => calls.call("tile", name),
  inclusion: (index) => calls.call("inclusion", index),
  consistency: (from, to) => calls.call("consistency", { from, to }),
  legalHolds: () => calls.call("legalHolds", undefined),
  streamCursor: (name) => calls.call("streamCursor", name),
  moveStreamCursor: (name, index) => calls.call("moveStreamCursor", { name, index }),
  closing: () => calls.call("closing", undefined),
  writable: () => calls.call("writable", undefined),
  figures: (at) => calls.call("figures", at),
  activations: () => calls.call("activations", undefined),
  keptFiles: (digest) => calls.call("keptFiles", digest),
  standing: () => calls.call("standing", undefined),
  callers: () => calls.call("callers", undefined),
});

type Quiet = { tell: () => void; wait: (ms: number) => Promise<void> };

/** Who waits for a quiet moment, or for its time to be over. */
const createQuiet = (): Quiet => {
  const waiting = new Set<() => void>();
  return {
    tell: () => {
      for (const go of waiting) go();
    },
    wait: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => go(), ms);
        const go = (): void => {
          clearTimeout(timer);
          waiting.delete(go);
          resolve();
        };
        waiting.add(go);
      }),
  };
};

/**
 * `queueActsMax` acts may wait, each for at most `waitMsMax`: what waits longer was given up by whoever asked, and is not
 * decided any more.
 */
export type ConnectOptions = { queueActsMax: number; waitMsMax: number; watch?: Watch };

type ActQueue = {
  /** @throws Problem `overloaded` when too many wait already */
  perform: <T>(command: Command) => Promise<T>;
  /** Resolves when no act is on its way, or has been for long enough. */
  gap: () => Promise<void>;
  waiting: () => number;
  underWayMs: () => number;
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** By the clock of this thread alone, in which requests are dated: another's may be milliseconds apart. */
const seenOf = (batch: readonly Waiting[], sentAt: number, times: WriterTimes): CommitSeen => ({
  questions: batch.reduce((total, { command }) => total + sizeOf(command), 0),
  queuedMs: batch.map(({ since }) => sentAt - since),
  judgedMs: times.judgedMs,
  commitMs: Math.max(0, times.commitMs - sum(times.judgedMs)),
  at: performance.timeOrigin + Math.max(sentAt, performance.now() - times.commitMs),
  traces: batch.map(({ trace }) => trace),
});

const answerAll = (batch: readonly Waiting[], done: readonly Done[]): void => {
  for (const [position, { resolve, reject }] of batch.entries()) {
    const one = done[position]!;
    if ("value" in one) resolve(one.value as never);
    else reject(new Problem(one.problem.code, one.problem.detail, { field: one.problem.field }));
  }
};

/** Acts that were sent together, and when. */
type Flight = { sentAt: number; alone: boolean };

/** Acts on their way to the writer's thread. */
const createQueue = (calls: Calls, { queueActsMax, waitMsMax, watch }: ConnectOptions): ActQueue => {
  const queue: Waiting[] = [];
  const flights = new Set<Flight>();
  const quiet = createQuiet();
  const send = async (batch: Waiting[]): Promise<void> => {
    const sentAt = performance.now();
    const flight = { sentAt, alone: batch.some(({ command }) => isAlone(command)) };
    flights.add(flight);
    try {
      const { done, times } = await calls.call<Committed>(
        "commit",
        batch.map(({ command }) => command),
      );
      answerAll(batch, done);
      watch?.committed(seenOf(batch, sentAt, times));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      flights.delete(flight);
      flush();
      if (flights.size === 0) quiet.tell();
    }
  };
  const giveUp = (): void => {
    const since = performance.now() - waitMsMax;
    while (queue.length > 0 && queue[0]!.since < since)
      queue.shift()!.reject(new Problem("overloaded", "it waited too long for the ledger: nothing was done"));
  };
  const flush = (): void => {
    giveUp();
    while (queue.length > 0 && flights.size < flightsMax) void send(takeBatch(queue));
  };
  const perform = <T>(command: Command): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (queue.length >= queueActsMax) {
        reject(new Problem("overloaded", "too many questions are waiting for the ledger"));
        return;
      }
      queue.push({ command, since: performance.now(), trace: watch?.trace?.(), resolve, reject });
      flush();
    });
  return {
    perform,
    gap: async () => {
      if (flights.size > 0) await quiet.wait(giveWayMs);
    },
    waiting: () => queue.length,
    underWayMs: () => {
      const oldest = [...flights].find(({ alone }) => !alone);
      return oldest ? performance.now() - oldest.sentAt : 0;
    },
  };
};

/** Connects to a writer's thread. */
export const connectLedger = (calls: Calls, options: ConnectOptions): ThreadedLedger => {
  const { perform, gap, waiting, underWayMs } = createQueue(calls, options);
  return {
    decide: (act) => perform<Decided[] | "stale">({ kind: "decide", act }),
    tryOut: async (facts) => {
      await gap();
      return calls.call("tryOut", facts);
    },
    balancesOf: (facts) => calls.call("balancesOf", facts),
    recordSearch: (command: SearchCommand) => perform<number>({ kind: "search", command }),
    changeHold: (command: HoldCommand) => perform<HoldView>({ kind: "hold", command }),
    reportUsage: (command: UsageCommand) => perform<UsageView>({ kind: "usage", command }),
    grant: (command: GrantCommand) => perform<Grant>({ kind: "grant", command }),
    adjust: (command: AdjustCommand) => perform<AccountView>({ kind: "adjust", command }),
    changeAgent: (command: AgentCommand) => perform<void>({ kind: "agent", command }),
    kill: (command: KillCommand) => perform<Kill>({ kind: "kill", command }),
    delegate: (command: DelegationCommand) => perform<Delegation>({ kind: "delegation", command }),
    changeCaller: (command: CallerCommand) => perform<void>({ kind: "caller", command }),
    rememberProof: (command: ProofCommand) => perform<"fresh" | "replayed">({ kind: "proof", command }),
    changeEntities: (command: EntityCommand) => perform<string | undefined>({ kind: "entity", command }),
    changeAgentKey: (command: KeyCommand) => perform<AgentKey>({ kind: "agent_key", command }),
    takeHeads: (command: HeadsCommand) => perform<HeadsTaken>({ kind: "heads", command }),
    reportOutcome: (command: OutcomeCommand) => perform<OutcomeView>({ kind: "outcome", command }),
    erase: (command: EraseCommand) => perform<Erased>({ kind: "erase", command }),
    prune: (command: PruneCommand) => perform<Pruned>({ kind: "prune", command }),
    exported: (command: ExportedCommand) => perform<number>({ kind: "exported", command }),
    changeLegalHold: (command: LegalHoldCommand) => perform<LegalHold>({ kind: "legal_hold", command }),
    note: (command: NoteCommand) => perform<number>({ kind: "note", command }),
    ...callsOf(calls),
    waiting,
    underWayMs,
    close: () => calls.call("close", undefined),
  };
};

/** The outbox from the main thread. */
export const connectOutbox = (calls: Calls): OutboxStore => ({
  dueAlerts: (due) => calls.call("dueAlerts", due),
  alertDelivered: (done) => calls.call("alertDelivered", done),
  alertFailed: (failed) => calls.call("alertFailed", failed),
  alertDead: (dead) => calls.call("alertDead", dead),
  reviveAlerts: (revived) => calls.call("reviveAlerts", revived),
  pendingSinks: () => calls.call("pendingSinks", undefined),
  alerts: (filter) => calls.call("alerts", filter),
});
