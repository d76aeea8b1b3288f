/** SQLite does what every store must do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testStore } from "../suite/every-store.ts";
import type { Pruned } from "../../ledger/store.ts";
import { type SuiteStore, valueOf } from "../suite/store.ts";
import { type Ledger, openLedger } from "./ledger.ts";

const suiteStore = (ledger: Ledger): SuiteStore => {
  const { outbox, tree, activations, streams } = ledger;
  return {
    perform: async (command) => ledger.commit([command])[0]!,
    lapse: async (now) => ledger.lapse(now),
    takeBook: async (budgets) => ledger.takeBook(budgets),
    checkpoint: async (now) => ledger.checkpoint(now),
    tile: async (name) => tree.tile(name),
    inclusion: async (index) => tree.inclusion(index),
    consistency: async (from, to) => tree.consistency(from, to),
    activate: async (activated, budgets) => ledger.activate(activated, budgets),
    activations: async () => activations.list(),
    keptFiles: async (digest) => activations.files(digest),
    standing: async () => activations.standing(),
    tripEngine: async (trip) => ledger.tripEngine(trip),
    headsDue: async (now, interval) => {
      // As the service does all the time: what entries are found by is written behind them.
      ledger.entries({ order: "asc", limit: 1 });
      return ledger.headsDue(now, interval);
    },
    entries: async (filter) => ledger.entries(filter),
    entry: async (ref) => ledger.entry(ref),
    legalHolds: async () => ledger.legalHolds(),
    policySet: async (digest) => ledger.policySet(digest),
    writable: async () => ledger.writable(),
    keptEntities: async (after) => ledger.keptEntities(after),
    callers: async () => ledger.callers(),
    keptAgents: async () => ledger.keptAgents(),
    kills: async () => ledger.kills(),
    standingKills: async () => ledger.standingKills(),
    delegations: async (filter) => ledger.delegations(filter),
    agentKeys: async (agent) => ledger.agentKeys(agent),
    agentOfKey: async (hash, now) => ledger.agentOfKey(hash, now),
    agentsOfHold: async (hold) => ledger.agentsOfHold(hold),
    accounts: async (budget, now, limit, after = "") => ledger.accounts(budget, now, limit, after),
    grants: async (budget) => ledger.grants(budget),
    usage: async (query) => ledger.usage(query),
    tryOut: async (facts) => ledger.tryOut(facts),
    tryAct: async (act) => ledger.tryAct(act),
    balancesOf: async (facts) => ledger.balancesOf(facts),
    auditBalances: async () => ledger.auditBalances(),
    figures: (now) => ledger.figures(now),
    dueAlerts: async (due) => outbox.due(due),
    alertDelivered: async (done) => outbox.delivered(done),
    alertFailed: async (failed) => outbox.failed(failed),
    alertDead: async (dead) => outbox.dead(dead),
    reviveAlerts: async (revived) => outbox.revive(revived),
    pendingSinks: async () => outbox.pendingSinks(),
    alerts: async (filter) => outbox.list(filter),
    streamCursor: async (name) => streams.cursor(name),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- pruning gives what was pruned
    prune: async (command) => valueOf(ledger.commit([{ kind: "prune", command }])[0]!) as Pruned,
    closing: async () => ledger.closing(),
    moveStreamCursor: async (name, index) => streams.move({ name, index }),
    close: async () => ledger.close(),
  };
};

testStore({
  name: "SQLite",
  shared: false,
  create: async () => {
    const dir = mkdtempSync(join(tmpdir(), "remit-suite-"));
    return {
      open: async ({ bound, keys, at, tell, sinks = [] }) =>
        suiteStore(openLedger(join(dir, "remit.db"), bound, { tell, sinks, tree: { keys, known: [], at } })),
      remove: async () => rmSync(dir, { recursive: true, force: true }),
    };
  },
});
