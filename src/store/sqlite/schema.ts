/** The tables of a data directory, by version. A ledger of an older version is brought forward when it is opened. */
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";
import { outboxTables } from "./outbox.ts";
import { activationTables } from "./schema-activations.ts";
import { agentKeyTables, agentTables, delegationTables } from "./schema-agents.ts";
import { contentsTables } from "./schema-contents.ts";
import { facetTables } from "./schema-facets.ts";
import { entityTables } from "./schema-entities.ts";
import { holdLines, holdRows } from "./schema-holds.ts";
import { outcomeTables } from "./schema-outcomes.ts";
import { proofTables } from "./schema-proofs.ts";
import { runIndices } from "./schema-runs.ts";
import { retentionTables } from "./schema-retention.ts";
import { streamTables } from "./streams.ts";
import { treeTables } from "./schema-tree.ts";

/** Each step leads from the version of its position to the next. */
export const steps: readonly string[] = [
  `
  create table entry (
    idx integer primary key,
    id text not null unique,
    at integer not null,
    kind text not null,
    -- The exact bytes that the leaf hash covers; every other column can be derived from them.
    leaf blob not null,
    leaf_hash blob not null,
    resource text,
    denied integer not null
  ) strict;
  create index entry_at on entry (at);
  create index entry_resource on entry (resource, idx) where resource is not null;
  create index entry_denied on entry (idx) where denied = 1;
  create trigger entry_kept before delete on entry begin select raise(abort, 'entries are append-only'); end;
  create trigger entry_fixed before update on entry begin select raise(abort, 'entries are append-only'); end;

  -- Which entries concern which agent: by id, or by pseudonym where the entry has one.
  create table entry_agent (
    agent text not null,
    idx integer not null references entry,
    primary key (agent, idx)
  ) strict, without rowid;

  -- What was asked and what was known: needed to judge again, deleted by an erasure.
  create table detail (
    idx integer primary key references entry,
    salt blob not null,
    body text not null
  ) strict;

  -- What a pseudonym stands for: deleted by an erasure.
  create table pseudonym (
    name text primary key,
    kind text not null,
    type text not null,
    id text not null,
    unique (kind, type, id)
  ) strict, without rowid;

  create table chain_head (
    key text primary key,
    count integer not null,
    leaf_hash blob not null
  ) strict, without rowid;

  create table policy_set (
    digest text primary key,
    body text not null,
    kept_at text not null
  ) strict;

  create table caller (
    name text primary key,
    body text not null,
    added_at text not null,
    revoked_at text
  ) strict;

  create table trial (bytes blob not null) strict;
  `,
  `
  -- What a budget counts can't change under its id: balances would mean something else.
  create table budget (
    id text primary key,
    unit text not null,
    per text not null,
    window text not null
  ) strict;

  create table account (
    id integer primary key,
    budget text not null,
    name text not null,
    unique (budget, name)
  ) strict;

  -- One window of an account: there is nothing to reset, the next window is another row.
  create table period (
    account integer not null references account,
    start integer not null,
    used integer not null,
    held integer not null,
    primary key (account, start)
  ) strict, without rowid;

  create table budget_grant (
    id text primary key,
    budget text not null,
    account text not null,
    amount integer not null,
    from_at integer not null,
    until_at integer not null,
    granted_by text not null,
    reason text not null,
    at integer not null
  ) strict;
  create index grant_account on budget_grant (budget, account);

  create table hold (
    id text primary key,
    decision text not null,
    caller text not null,
    state text not null check (state in ('open', 'settled', 'released', 'lapsed')),
    created_at integer not null,
    expires_at integer not null,
    -- JSON: amounts held and settled by unit, the price, whose consumption it is, and the agents of the chain.
    amounts text not null,
    settled text not null,
    priced text,
    dimensions text not null,
    agents text not null,
    run text,
    late integer not null default 0,
    overrun integer not null default 0
  ) strict, without rowid;
  create index hold_expiry on hold (expires_at) where state = 'open';
  create index hold_decision on hold (decision);

  create table hold_line (
    hold text not null references hold,
    account integer not null references account,
    start integer not null,
    unit text not null,
    -- Still held, and charged so far (by a lapse too).
    held integer not null check (held >= 0),
    charged integer not null check (charged >= 0),
    on_lapse text not null,
    primary key (hold, account, start)
  ) strict, without rowid;

  -- The answer to what was asked under a key, so that a retry counts once.
  create table idempotency (
    caller text not null,
    endpoint text not null,
    key text not null,
    fingerprint text not null,
    answer text not null,
    at integer not null,
    primary key (caller, endpoint, key)
  ) strict, without rowid;
  create index idempotency_at on idempotency (at);

  create table run (
    id text primary key,
    caller text not null,
    agent text not null,
    parent text,
    started_at integer not null,
    depth integer not null,
    calls integer not null default 0,
    -- Used and held.
    usd_micros integer not null default 0
  ) strict, without rowid;
  create index run_parent on run (parent, started_at) where parent is not null;

  -- What was asked lately within a run.
  create table recent_question (
    run text not null,
    n integer not null,
    at integer not null,
    fingerprint text not null,
    primary key (run, n)
  ) strict, without rowid;

  create table usage_event (
    source text not null,
    id text not null,
    fingerprint text not null,
    answer text not null,
    primary key (source, id)
  ) strict, without rowid;

  -- What was used, by whom: for reports. Balances are kept apart.
  create table consumption (
    idx integer not null references entry,
    unit text not null,
    at integer not null,
    amount integer not null,
    agent text,
    user text,
    team text,
    org text,
    run text,
    model text,
    tool text,
    primary key (idx, unit)
  ) strict, without rowid;
  create index consumption_at on consumption (at);

  -- Use by the minute, for the rate; only as long back as a rule looks.
  create table burn (
    account integer not null references account,
    minute integer not null,
    used integer not null,
    primary key (account, minute)
  ) strict, without rowid;

  -- Which thresholds were told of: one alert for each account, window, threshold and limit of then.
  create table told (
    account integer not null references account,
    start integer not null,
    threshold text not null,
    limit_then integer not null,
    primary key (account, start, threshold, limit_then)
  ) strict, without rowid;
  `,
  outboxTables,
  agentKeyTables,
  agentTables,
  delegationTables,
  treeTables,
  activationTables,
  facetTables,
  entityTables,
  outcomeTables,
  proofTables,
  contentsTables,
  holdLines,
  runIndices,
  holdRows,
  retentionTables,
  streamTables,
];

/** The version that `migrate` leads to. */
export const newestVersion: number = steps.length;

/** Brings the tables to the newest version. @throws Problem when the file is of a later one */
export const migrate = (db: Database): void => {
  const version = Number(db.pragma("user_version", { simple: true }));
  if (version > steps.length)
    throw new Problem(
      "not_ready",
      `the ledger is of version ${version}, this service knows ${steps.length}: upgrade the service`,
    );
  for (const [position, step] of steps.entries()) {
    if (position < version) continue;
    db.transaction(() => {
      db.exec(step);
      db.pragma(`user_version = ${position + 1}`);
    }).immediate();
  }
};
