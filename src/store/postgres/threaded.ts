/** What the thread that talks to the database answers. */
import type { UsageQuery } from "../../budget/store.ts";
import type { Act } from "../../decision/store.ts";
import type { Uid } from "../../kit/cedar-json.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryFilter } from "../../ledger/store.ts";
import type { TileName } from "../../ledger/tile.ts";
import type { DelegationFilter } from "../acts/delegations.ts";
import type { Done } from "../acts/perform.ts";
import type { AccountsQuery, Command, Committed, KeyQuery, Stopwatch } from "../acts/threaded.ts";
import type { Ledger } from "./ledger.ts";

/** What only SQLite's ledger does. */
const notHere = (kind: "erase" | "prune"): Done => ({
  problem: {
    code: "conflict",
    detail: `a ledger in PostgreSQL can't ${kind} yet: nothing was changed`,
  },
});

const sizeOf = (command: Command): number => (command.kind === "decide" ? command.act.facts.length : 1);

const timedCommit =
  ({ perform }: Pick<Ledger, "perform">, stopwatch: Stopwatch) =>
  async (commands: Command[]): Promise<Committed> => {
    const from = performance.now();
    const done = await Promise.all(
      commands.map(async (command) =>
        command.kind === "erase" || command.kind === "prune" ? notHere(command.kind) : perform(command),
      ),
    );
    const questions = commands.reduce((sum, command) => sum + sizeOf(command), 0);
    // Questions are judged once to find out what they touch, and again where it counts.
    const judgedMs = stopwatch.take().slice(-questions);
    const commitMs = performance.now() - from;
    return { done, times: { judgedMs, commitMs, at: performance.timeOrigin + from } };
  };

/** The counterpart of `connectLedger`. */
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
  tile: (name: TileName) => ledger.tile(name),
  inclusion: (index: number) => ledger.inclusion(index),
  consistency: ({ from, to }: { from: number; to: number }) => ledger.consistency(from, to),
  legalHolds: () => ledger.legalHolds(),
  streamCursor: (name: string) => ledger.streams.cursor(name),
  moveStreamCursor: (cursor: { name: string; index: number }) => ledger.streams.move(cursor),
  // Nothing is pruned.
  closing: () => undefined,
  writable: () => ledger.writable(),
  figures: (at: number) => ledger.figures(at),
  activations: () => ledger.activations.list(),
  keptFiles: (digest: string) => ledger.activations.files(digest),
  standing: () => ledger.activations.standing(),
  callers: () => ledger.callers(),
  ...ledger.outbox,
  epochs: () => ledger.epochs(),
  lead: () => ledger.lead(),
  bound: () => {
    throw new Problem("invalid_request", "the size of a ledger in PostgreSQL is the database's own affair");
  },
});
