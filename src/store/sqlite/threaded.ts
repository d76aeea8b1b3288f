/** What the thread that has the ledger's file answers. */
import type { Act } from "../../decision/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import type { EntryFilter } from "../../ledger/store.ts";
import type { TileName } from "../../ledger/tile.ts";
import type { UsageQuery } from "../../budget/store.ts";
import type { DelegationFilter } from "../acts/delegations.ts";
import type { AccountsQuery, Command, Committed, KeyQuery, Stopwatch } from "../acts/threaded.ts";
import type { Ledger } from "./ledger.ts";
import { outboxHandlers } from "./outbox.ts";

const timedCommit =
  (ledger: Ledger, stopwatch: Stopwatch) =>
  (commands: Command[]): Committed => {
    const from = performance.now();
    stopwatch.take();
    const done = ledger.commit(commands);
    const judgedMs = stopwatch.take();
    const commitMs = performance.now() - from;
    return { done, times: { judgedMs, commitMs, at: performance.timeOrigin + from } };
  };

/** What the writer's thread answers; the counterpart of `connectLedger`. */
export const ledgerHandlers = (
  ledger: Ledger,
  stopwatch: Stopwatch,
): Record<string, (value: never) => unknown> => ({
  commit: timedCommit(ledger, stopwatch),
  tryAct: (act: Act) => ledger.tryAct(act),
  tryOut: (facts: string[]) => ledger.tryOut(facts),
  balancesOf: (facts: string) => ledger.balancesOf(facts),
  accounts: ({ budget, at, limit, after }: AccountsQuery) => ledger.accounts(budget, at, limit, after),
  grants: (budget: string) => ledger.grants(budget),
  usage: (query: UsageQuery) => ledger.usage(query),
  auditBalances: () => ledger.auditBalances(),
  keptAgents: () => ledger.keptAgents(),
  kills: () => ledger.kills(),
  standingKills: () => ledger.standingKills(),
  delegations: (filter: DelegationFilter) => ledger.delegations(filter),
  keptEntities: (after: Uid | undefined) => ledger.keptEntities(after),
  agentsOfHold: (hold: string) => ledger.agentsOfHold(hold),
  agentKeys: (agent: string) => ledger.agentKeys(agent),
  agentOfKey: ({ keyHash, at }: KeyQuery) => ledger.agentOfKey(keyHash, at),
  entries: (filter: EntryFilter) => ledger.entries(filter),
  entry: (ref: number | string) => ledger.entry(ref),
  policySet: (digest: string) => ledger.policySet(digest),
  tile: (name: TileName) => ledger.tree.tile(name),
  inclusion: (index: number) => ledger.tree.inclusion(index),
  consistency: ({ from, to }: { from: number; to: number }) => ledger.tree.consistency(from, to),
  legalHolds: () => ledger.legalHolds(),
  streamCursor: (name: string) => ledger.streams.cursor(name),
  moveStreamCursor: (cursor: { name: string; index: number }) => ledger.streams.move(cursor),
  closing: () => ledger.closing(),
  writable: () => ledger.writable(),
  figures: (at: number) => ledger.figures(at),
  activations: () => ledger.activations.list(),
  keptFiles: (digest: string) => ledger.activations.files(digest),
  standing: () => ledger.activations.standing(),
  callers: () => ledger.callers(),
  ...outboxHandlers(ledger.outbox),
  bound: (pagesMax: number) => ledger.bound(pagesMax),
  close: () => ledger.close(),
});
