/** The tables in PostgreSQL, by version. They are brought forward by one process at a time; others go on meanwhile. */
import type { Client } from "pg";
import { Problem } from "../../kit/problem.ts";

/** What is kept beside decisions: who may ask, what is known, which files decide. */
const keptTables = `
  create table caller (
    name text primary key, key_hash text unique, body text not null, added_at text not null, revoked_at text);
  create table entity (
    type text collate "C" not null, id text collate "C" not null, body text not null, at bigint not null,
    said_by text not null, primary key (type, id));
  create table entity_state (one bigint primary key check (one = 1), digest text not null);
  create table proof (
    key text not null, jti text not null, until bigint not null, purpose text, primary key (key, jti));
  create index proof_until on proof (until);
  create table outcome (decision text primary key, fingerprint text not null, idx bigint not null);
  create table legal_hold (id text primary key, placed_at bigint not null, lifted boolean not null, body text not null);
  create table exported (
    first bigint not null, count bigint not null, digest text not null, primary key (first, count, digest));

  create table policy_set (digest text primary key, body text not null, kept_at text not null);
  create table policy_file (digest text primary key, body text not null);
  create table bundle (digest text primary key, policy_set text not null);
  create table bundle_file (
    bundle text not null, path text not null, file text not null, primary key (bundle, path));
  create table in_force (part text not null, name text not null, digest text not null, primary key (part, name));
  create table activation (
    n bigint primary key, at bigint not null, verb text not null, bundle text not null, policy_set text not null,
    said_by text not null, reason text, sequence bigint);
  create index activation_bundle on activation (bundle);

  -- How often something that processes hold in memory was changed: whoever holds it looks here whether it is stale.
  create table epoch (part text primary key, n bigint not null);
  create table stream_cursor (name text primary key, idx bigint not null);
  create table trial (one bigint not null);
`;

/** What entries are found by. It follows from them, and is written with them. */
const searchTables = `
  create index entry_kind on entry (kind, idx) where kind <> 'decision';
  create index entry_resource on entry (resource, idx) where resource is not null;
  create index entry_denied on entry (idx) where denied;
  create table entry_facet (kind text not null, value text not null, idx bigint not null, primary key (kind, value, idx));
  create table entry_trace (trace text not null, idx bigint not null, primary key (trace, idx));
  create index pseudonym_id on pseudonym (id);
  create index consumption_at on consumption (at);
`;

/** Whom alerts go to. */
const outboxTables = `
  create table alert_delivery (
    alert text not null, sink text not null,
    state text not null check (state in ('pending', 'delivered', 'dead')),
    -- Those that failed.
    attempts bigint not null, next_at bigint, done_at bigint, error text,
    primary key (alert, sink));
  create index alert_delivery_due on alert_delivery (sink, next_at) where state = 'pending';
`;

/** What is left of pruned entries; only what was pruned can be deleted. */
const retentionTables = `
  create table pruned (
    one bigint primary key check (one = 1), before bigint not null, latest bigint not null, disorder bigint not null);
  insert into pruned values (1, 0, 0, 0);
  -- What they moved, and where their chains ended.
  create table pruned_balance (
    budget text not null, account text not null, start bigint not null, used bigint not null, held bigint not null,
    primary key (budget, account, start));
  create table pruned_chain (key text primary key, count bigint not null, leaf_hash bytea not null);

  drop trigger entry_fixed on entry;
  create trigger entry_fixed before update on entry for each row execute function refuse();
  create function refuse_unpruned() returns trigger language plpgsql as $$ begin
    if old.idx >= (select before from pruned) then raise exception 'entries are append-only'; end if;
    return old;
  end $$;
  create trigger entry_undeleted before delete on entry for each row execute function refuse_unpruned();
`;

/** Each step leads from the version of its position to the next. */
const steps: readonly string[] = [
  `
  create table entry (
    idx bigint primary key,
    id text not null unique,
    at bigint not null,
    kind text not null,
    -- The exact bytes that the leaf hash covers; every other column can be derived from them.
    leaf bytea not null,
    leaf_hash bytea not null,
    resource text,
    denied boolean not null
  );
  create index entry_at on entry (at);
  create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'entries are append-only'; end $$;
  create trigger entry_fixed before update or delete on entry for each row execute function refuse();
  create trigger entry_kept before truncate on entry for each statement execute function refuse();

  create table entry_agent (agent text not null, idx bigint not null, primary key (agent, idx));
  -- What was asked and what was known: needed to judge again, deleted by an erasure.
  create table detail (idx bigint primary key, salt bytea not null, body text not null);
  create table pseudonym (
    name text primary key, kind text not null, type text not null, id text not null, unique (kind, type, id));
  create table chain_head (key text primary key, count bigint not null, leaf_hash bytea not null);

  -- What a budget counts can't change under its id: balances would mean something else.
  create table budget (id text primary key, unit text not null, per text not null, span text not null);
  create table account (
    id bigint primary key, budget text not null, name text not null, unique (budget, name));
  -- One window of an account: there is nothing to reset, the next window is another row.
  create table period (
    account bigint not null, start bigint not null, used bigint not null, held bigint not null,
    primary key (account, start));
  create table budget_grant (
    id text primary key, budget text not null, account text not null, amount bigint not null,
    from_at bigint not null, until_at bigint not null, granted_by text not null, reason text not null,
    at bigint not null);
  create index grant_account on budget_grant (budget, account);
  create table hold (
    id text primary key, decision text not null, caller text not null,
    state text not null check (state in ('open', 'settled', 'released', 'lapsed')),
    created_at bigint not null, expires_at bigint not null, run text, agent text,
    -- JSON: the agents of the chain; and the whole hold.
    agents text not null, body text not null);
  create index hold_expiry on hold (expires_at) where state = 'open';
  create index hold_decision on hold (decision);
  create index hold_run on hold (run) where state = 'open';
  -- The answer to what was asked under a key, so that a retry counts once.
  create table idempotency (
    caller text not null, endpoint text not null, key text not null, fingerprint text not null,
    answer text not null, at bigint not null, primary key (caller, endpoint, key));
  create index idempotency_at on idempotency (at);
  create table run (
    id text primary key, caller text not null, agent text not null, parent text,
    started_at bigint not null, depth bigint not null, calls bigint not null, usd_micros bigint not null);
  create index run_parent on run (parent, started_at) where parent is not null;
  create index run_agent on run (agent, started_at);
  create table recent_question (
    run text not null, n bigint not null, at bigint not null, fingerprint text not null, primary key (run, n));
  create table usage_event (
    source text not null, id text not null, fingerprint text not null, answer text not null,
    primary key (source, id));
  create table consumption (
    idx bigint not null, unit text not null, at bigint not null, amount bigint not null,
    agent text, person text, team text, org text, run text, model text, tool text, primary key (idx, unit));
  create table burn (
    account bigint not null, minute bigint not null, used bigint not null, primary key (account, minute));
  create table told (
    account bigint not null, start bigint not null, threshold text not null, limit_then bigint not null,
    primary key (account, start, threshold, limit_then));
  create table alert (
    id text primary key, seq bigint generated always as identity unique, type text not null, severity text not null,
    at bigint not null, body text not null);

  create table agent (
    id text primary key, body text not null, expires_at bigint, created_at bigint not null,
    created_by text not null);
  create table agent_status (
    agent text primary key,
    status text not null check (status in ('requested', 'active', 'suspended', 'revoked')),
    reason text not null, said_by text not null, at bigint not null);
  create table agent_key (id text primary key, agent text not null, hash text not null unique, body text not null);
  create index agent_key_agent on agent_key (agent);
  create table kill (id text primary key, at bigint not null, lifted boolean not null, body text not null);
  create index kill_standing on kill (at) where not lifted;
  create table delegation (
    id text primary key, delegate text not null, origin text, revoked boolean not null, body text not null);
  create index delegation_delegate on delegation (delegate);
  create index delegation_origin on delegation (origin) where origin is not null;
  create table agent_denial (
    agent text not null, decision text not null, at bigint not null, kind bigint not null,
    primary key (agent, decision));

  -- Hashes of the tree, 256 to a tile; tiles of level 0 are kept when they are full, others as they grow.
  create table tile (level int not null, idx bigint not null, hashes bytea not null, primary key (level, idx));
  create table checkpoint (size bigint primary key, root bytea not null, note text not null, at bigint not null);
  ` +
    keptTables +
    searchTables +
    outboxTables,
  retentionTables,
];

/** What the database's advisory locks are for. */
export const locks = { migrate: 0x72656d69, order: 0x72656d6a, tree: 0x72656d6b, lead: 0x72656d6c } as const;

/** The version that the tables are of; none where there are no tables. */
export const versionOf = async (client: Pick<Client, "query">): Promise<number> => {
  const { rows: found } = await client.query<{ there: boolean }>(
    "select to_regclass('schema_version') is not null as there",
  );
  if (found[0]?.there !== true) return 0;
  const { rows } = await client.query<{ version: number }>("select version from schema_version");
  return rows[0]?.version ?? 0;
};

const newestVersion: number = steps.length;

/** @throws Problem `not_ready` when the tables aren't of the newest version */
export const assertNewest = async (client: Pick<Client, "query">): Promise<void> => {
  const version = await versionOf(client);
  if (version === newestVersion) return;
  const detail = `the ledger is of version ${version}, this is for ${newestVersion}: \`remit store migrate\` brings it forward`;
  throw new Problem("not_ready", detail);
};

/**
 * Brings the tables to the newest version. Where they are, nothing is changed: a role that owns no tables may serve then.
 * @throws Problem when they are of a later one
 */
export const migrate = async (client: Pick<Client, "query">): Promise<void> => {
  if ((await versionOf(client)) === newestVersion) return;
  await client.query(`begin; select pg_advisory_xact_lock(${locks.migrate})`);
  try {
    const version = await versionOf(client);
    if (version > steps.length)
      throw new Problem(
        "not_ready",
        `the ledger is of version ${version}, this service knows ${steps.length}: upgrade the service`,
      );
    await client.query("create table if not exists schema_version (version int not null)");
    for (const step of steps.slice(version)) await client.query(step);
    await client.query("delete from schema_version");
    await client.query("insert into schema_version values ($1)", [steps.length]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
};
