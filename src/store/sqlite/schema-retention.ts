/** The tables of retention: what is left of pruned entries, what was exported, and what must be kept. */

/** One step of the migration. */
export const retentionTables = `
  -- Entries before this index are pruned to their hashes.
  create table pruned (
    id integer primary key check (id = 0),
    before integer not null,
    latest integer not null,
    disorder integer not null
  ) strict;
  insert into pruned (id, before, latest, disorder) values (0, 0, 0, 0);

  -- What they moved, and where their chains ended.
  create table pruned_balance (
    budget text not null,
    account text not null,
    start integer not null,
    used integer not null,
    held integer not null,
    primary key (budget, account, start)
  ) strict, without rowid;
  create table pruned_chain (
    key text primary key,
    count integer not null,
    leaf_hash blob not null
  ) strict, without rowid;

  -- Which entries were exported whole, and the digest of what was written.
  create table exported (
    first integer not null,
    count integer not null,
    digest text not null,
    primary key (first, count, digest)
  ) strict, without rowid;

  create table legal_hold (
    id text primary key,
    agent text,
    subject text,
    from_at integer,
    to_at integer,
    reason text not null,
    placed_by text not null,
    placed_at integer not null,
    lifted_by text,
    lifted_at integer,
    lift_reason text
  ) strict, without rowid;

  drop trigger entry_kept;
  create trigger entry_kept before delete on entry
    when old.idx >= (select before from pruned) begin select raise(abort, 'entries are append-only'); end;
`;
