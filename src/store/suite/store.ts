/** What every store must do, seen from outside: a store under test, and a caller that asks of it. */
import type { AgentStore } from "../../agent/store.ts";
import type { Alert } from "../../alert/alert.ts";
import type { Sink } from "../../alert/sink.ts";
import type { OutboxStore } from "../../alert/store.ts";
import type { Amounts, Budget } from "../../budget/budget.ts";
import type { BudgetStore, HoldCommand, HoldView } from "../../budget/store.ts";
import { admit } from "../../decision/judge.ts";
import type { Decided, Verdict } from "../../decision/question.ts";
import type { Act, Bound, TrialStore } from "../../decision/store.ts";
import type { EntityStore } from "../../entity/store.ts";
import type { CallerStore } from "../../identity/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { LedgerKeys } from "../../ledger/key-file.ts";
import type { LogSource } from "../../ledger/log-source.ts";
import type { LedgerStore } from "../../ledger/store.ts";
import type { StreamStore } from "../../ledger/stream.ts";
import { newSignerKey } from "../../ledger/note.ts";
import { verifyLog } from "../../ledger/verify-log.ts";
import type { Activated, ActivationStore, Standing } from "../../policy/store.ts";
import type { BalanceFault } from "../acts/audit.ts";
import type { BookFault } from "../acts/book.ts";
import type { EngineTrip } from "../acts/engine-trip.ts";
import type { LedgerFigures } from "../acts/figures.ts";
import type { CommonCommand, Done } from "../acts/perform.ts";
import { type Ask, factsOf, judge, morning, noPrices } from "./questions.ts";

/** What is read of a store. */
type Reads = Pick<
  LedgerStore,
  | "entries"
  | "entry"
  | "legalHolds"
  | "policySet"
  | "inclusion"
  | "consistency"
  | "writable"
  | "prune"
  | "closing"
> &
  Pick<EntityStore, "keptEntities"> &
  Pick<CallerStore, "callers"> &
  Pick<AgentStore, "keptAgents" | "kills" | "standingKills" | "delegations" | "agentKeys" | "agentOfKey"> &
  Pick<BudgetStore, "agentsOfHold" | "accounts" | "grants" | "usage"> &
  Pick<TrialStore, "tryOut" | "balancesOf"> &
  ActivationStore &
  OutboxStore &
  Pick<StreamStore, "streamCursor" | "moveStreamCursor"> & {
    auditBalances: () => Promise<BalanceFault[]>;
    tryAct: (act: Act) => Promise<Decided[]>;
    figures: (at: Micros) => Promise<LedgerFigures>;
  };

/** A store under test. */
export type SuiteStore = Reads & {
  perform: (command: CommonCommand) => Promise<Done>;
  lapse: (at: Micros) => Promise<number>;
  takeBook: (budgets: readonly Budget[]) => Promise<BookFault[]>;
  checkpoint: (at: Micros) => Promise<string>;
  tile: LogSource["tile"];
  activate: (activated: Activated, budgets: readonly Budget[]) => Promise<BookFault[]>;
  standing: () => Promise<Standing>;
  tripEngine: (trip: EngineTrip) => Promise<void>;
  headsDue: (at: Micros, intervalMicros: number) => Promise<boolean>;
  close: () => Promise<void>;
};

export type Opening = {
  bound: Bound;
  keys: LedgerKeys;
  at: Micros;
  tell: (alert: Alert) => void;
  sinks?: readonly Sink[];
};

/** One ledger: it can be opened again after it was closed, or by another process where `shared`. */
export type SuiteLedger = { open: (opening: Opening) => Promise<SuiteStore>; remove: () => Promise<void> };

/** Makes ledgers for tests. */
export type Backend = { name: string; shared: boolean; create: () => Promise<SuiteLedger> };

export type Answered = { id: string; verdict: Verdict; hold: string; reason: string; decision: boolean };

/** What a command came to. @throws Error with the problem's code where it was refused */
export const valueOf = (done: Done): unknown => {
  if ("problem" in done) throw new Error(`${done.problem.code}: ${done.problem.detail}`);
  return done.value;
};

const answeredOf = (decided: Decided): Answered => {
  if ("problem" in decided) throw new Error(`${decided.problem.code}: ${decided.problem.detail}`);
  const { id, verdict } = decided;
  const { reason, decision } = verdict;
  return { id, verdict, hold: verdict.consumption?.hold?.id ?? "", reason, decision };
};

/** Asks of one store. */
export type Asker = {
  store: SuiteStore;
  alerts: Alert[];
  ask: (ask?: Ask) => Promise<Answered>;
  batch: (asks: readonly Ask[], act?: Omit<Partial<Act>, "facts">) => Promise<Answered[]>;
  settle: (hold: string, amounts: Amounts, more?: { caller?: string; final?: boolean }) => Promise<HoldView>;
  release: (hold: string) => Promise<HoldView>;
  extend: (hold: string, amounts: Amounts) => Promise<HoldView>;
  command: () => { id: string; at: Micros; caller: string; admin: boolean };
  close: () => Promise<void>;
};

/** A ledger, its budgets, a clock that moves only when told to, and whoever asks of it. */
export type World = {
  now: Micros;
  asker: () => Promise<Asker>;
  /** Verifies the whole log. @throws Error with what is wrong */
  verify: (asker: Asker) => Promise<number>;
  end: () => Promise<void>;
};

const commandsOf = (world: { now: Micros }, store: SuiteStore, budgets: readonly Budget[]) => {
  const command: Asker["command"] = () => ({
    id: uuidv7(world.now),
    at: world.now,
    caller: "pep",
    admin: false,
  });
  const hold = async (one: HoldCommand): Promise<HoldView> =>
    valueOf(await store.perform({ kind: "hold", command: one })) as HoldView;
  const batch: Asker["batch"] = async (asks, act = {}) => {
    const facts = asks.map((ask) => JSON.stringify(factsOf(budgets, noPrices, world.now, ask)));
    const done = await store.perform({ kind: "decide", act: { at: world.now, ...act, facts } });
    return (valueOf(done) as Decided[]).map(answeredOf);
  };
  return {
    command,
    batch,
    ask: async (ask: Ask = {}) => (await batch([ask]))[0]!,
    settle: (id: string, amounts: Amounts, more = {}) =>
      hold({ ...command(), verb: "settle", hold: id, amounts, final: true, ...more }),
    release: (id: string) => hold({ ...command(), verb: "release", hold: id }),
    extend: (id: string, amounts: Amounts) =>
      hold({ ...command(), verb: "extend", hold: id, amounts, ttlMs: 900_000 }),
  } satisfies Partial<Asker>;
};

/** A ledger of its own for a test. */
export const createWorld = async (
  backend: Backend,
  budgets: readonly Budget[],
  sinks: readonly Sink[] = [],
): Promise<World> => {
  const ledger = await backend.create();
  const signer = newSignerKey("suite.example");
  const keys: LedgerKeys = { origin: "suite.example", signers: [signer], verifiers: [signer.verifier] };
  const open = new Set<Asker>();
  const world: World = {
    now: morning,
    asker: async () => {
      const alerts: Alert[] = [];
      const store = await ledger.open({
        bound: { judge, admit, engine: "reference" },
        keys,
        at: world.now,
        sinks,
        tell: (alert) => void (alert.type === "budget.burn_rate" ? 0 : alerts.push(alert)),
      });
      const faults = await store.takeBook(budgets);
      if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join());
      const asker: Asker = {
        store,
        alerts,
        ...commandsOf(world, store, budgets),
        close: async () => {
          open.delete(asker);
          await store.close();
        },
      };
      open.add(asker);
      return asker;
    },
    verify: async ({ store }) => {
      const { tile, closing } = store;
      const source: LogSource = { checkpoint: () => store.checkpoint(world.now), tile, closing };
      const verified = await verifyLog(source, { keys: keys.verifiers, checkpoints: [] }, () => undefined);
      if (verified.faults.length > 0) throw new Error(JSON.stringify(verified.faults));
      return verified.size;
    },
    end: async () => {
      for (const asker of open) await asker.close();
      await ledger.remove();
    },
  };
  return world;
};
