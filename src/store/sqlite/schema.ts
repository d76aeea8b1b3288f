/** The tables of a data directory, by version. A ledger of an older version is brought forward when it is opened. */
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";

/** Each step leads from the version of its position to the next. */
const steps: readonly string[] = [
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
];

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
