/** Figures of the moment: read when someone asks for metrics, never on the way of an answer. */
import type { Registry } from "prom-client";
import { gaugeBy } from "./tally.ts";

/** What the ledger's thread tells; instants in microseconds since the epoch. */
export type LedgerFigures = {
  entries: number;
  /** Entries that the newest checkpoint covers, and when it was signed. */
  signed: number;
  signedAt: number;
  fileBytes: number;
  holdsOpen: number;
  outbox: readonly { sink: string; pending: number; dead: number; oldestAt?: number }[];
  budgets: readonly {
    budget: string;
    unit: string;
    accounts: number;
    exhausted: number;
    /** Of the account with the smallest part of its limit left. */
    limit: number;
    remaining: number;
  }[];
};

export type Figures = {
  /** When they were read, in microseconds. */
  at: number;
  /** Absent where the ledger's thread didn't answer in time. */
  ledger?: LedgerFigures;
  /** Acts that wait for the ledger. */
  waiting: number;
  requestsOpen: number;
  connectionsOpen: number;
  walBytes: number;
  /** How long the ledger's thread was busy so far. */
  writerBusyMs: number;
  checks: Readonly<Record<string, { status: string }>>;
};

type Gauge = ReturnType<typeof gaugeBy>;

const processHelp = {
  remit_queue_acts: "Acts that wait for the ledger",
  remit_requests_open: "Requests that are being answered",
  remit_connections_open: "Connections that are open",
  remit_ledger_wal_bytes: "Size of the ledger's write-ahead log",
  remit_ledger_up: "1 where the ledger's thread answered for these figures",
  remit_writer_busy_seconds_total: "Time for which the ledger's thread was busy, in all",
  remit_check: "1 for the status that each check of readiness has",
} as const;

const ledgerHelp = {
  remit_ledger_entries: "Entries of the ledger",
  remit_ledger_bytes: "Size of the ledger's file",
  remit_ledger_unsigned_entries: "Entries that the newest checkpoint doesn't cover yet",
  remit_ledger_checkpoint_timestamp_seconds: "When the newest checkpoint was signed",
  remit_holds_open: "Holds that are neither settled, released nor lapsed",
  remit_outbox_pending: "Alerts that wait to be delivered, by sink",
  remit_outbox_dead: "Alerts that were given up, by sink",
  remit_outbox_oldest_seconds: "Age of the oldest alert that waits, by sink",
  remit_budget_remaining: "What is left of each budget's tightest account, in its unit",
  remit_budget_remaining_ratio: "The same as a part of that account's limit, 0 to 1",
  remit_budget_accounts: "Accounts of each budget",
  remit_budget_accounts_exhausted: "Accounts of each budget on which nothing is left",
} as const;

const one = (value: number): { value: number }[] => [{ value }];

const showLedger = (gauges: Record<keyof typeof ledgerHelp, Gauge>, at: number, now: LedgerFigures): void => {
  gauges.remit_ledger_entries(one(now.entries));
  gauges.remit_ledger_bytes(one(now.fileBytes));
  gauges.remit_ledger_unsigned_entries(one(Math.max(0, now.entries - now.signed)));
  gauges.remit_ledger_checkpoint_timestamp_seconds(one(now.signedAt / 1_000_000));
  gauges.remit_holds_open(one(now.holdsOpen));
  const bySink = (valueOf: (of: LedgerFigures["outbox"][number]) => number): Parameters<Gauge>[0] =>
    now.outbox.map((of) => ({ labels: { sink: of.sink }, value: valueOf(of) }));
  gauges.remit_outbox_pending(bySink(({ pending }) => pending));
  gauges.remit_outbox_dead(bySink(({ dead }) => dead));
  gauges.remit_outbox_oldest_seconds(
    bySink(({ oldestAt }) => (oldestAt === undefined ? 0 : Math.max(0, at - oldestAt) / 1_000_000)),
  );
  const byBudget = (valueOf: (of: LedgerFigures["budgets"][number]) => number): Parameters<Gauge>[0] =>
    now.budgets.map((of) => ({ labels: { budget: of.budget }, value: valueOf(of) }));
  gauges.remit_budget_remaining(
    now.budgets.map(({ budget, unit, remaining }) => ({ labels: { budget, unit }, value: remaining })),
  );
  gauges.remit_budget_remaining_ratio(
    byBudget(({ limit, remaining }) => (limit <= 0 ? 0 : remaining / limit)),
  );
  gauges.remit_budget_accounts(byBudget(({ accounts }) => accounts));
  gauges.remit_budget_accounts_exhausted(byBudget(({ exhausted }) => exhausted));
};

const gaugesOf = <Name extends string>(
  registry: Registry,
  helps: Readonly<Record<Name, string>>,
): Record<Name, Gauge> => {
  const gauges: Record<string, Gauge> = {};
  for (const [name, help] of Object.entries<string>(helps))
    gauges[name] = gaugeBy(registry, { name, help }, name.endsWith("_total") ? "counter" : "gauge");
  return gauges;
};

const statuses = ["ok", "stale", "failed"];

/** Takes figures over into a registry. What the ledger's thread didn't tell is not shown: an old figure would pass for a new one. */
export const figureGauges = (registry: Registry): ((figures: Figures) => void) => {
  const gauges = gaugesOf(registry, processHelp);
  const ofLedger = gaugesOf(registry, ledgerHelp);
  return ({ at, ledger, checks, ...now }) => {
    gauges.remit_queue_acts(one(now.waiting));
    gauges.remit_requests_open(one(now.requestsOpen));
    gauges.remit_connections_open(one(now.connectionsOpen));
    gauges.remit_ledger_wal_bytes(one(now.walBytes));
    gauges.remit_writer_busy_seconds_total(one(now.writerBusyMs / 1000));
    gauges.remit_ledger_up(one(ledger ? 1 : 0));
    gauges.remit_check(
      Object.entries(checks).flatMap(([check, { status }]) =>
        statuses.map((each) => ({ labels: { check, status: each }, value: each === status ? 1 : 0 })),
      ),
    );
    if (ledger) showLedger(ofLedger, at, ledger);
    else for (const gauge of Object.values(ofLedger)) gauge([]);
  };
};
