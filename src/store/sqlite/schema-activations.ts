/** The tables of what was in force. Each is a step of the data directory's versions. */

export const activationTables = `
  -- Files by the digest of their text: an edit adds what it changes.
  create table policy_file (
    digest text primary key,
    body text not null
  ) strict, without rowid;

  create table bundle (
    digest text primary key,
    policy_set text not null
  ) strict, without rowid;

  create table bundle_file (
    bundle text not null references bundle on delete cascade,
    path text not null,
    file text not null references policy_file,
    primary key (bundle, path)
  ) strict, without rowid;
  create index bundle_file_file on bundle_file (file);

  -- From each instant on, this bundle decided. The last one that is no load says whether the folders are followed.
  create table activation (
    n integer primary key,
    at integer not null,
    verb text not null check (verb in ('load', 'promote', 'rollback', 'follow')),
    bundle text not null,
    policy_set text not null,
    by text not null,
    reason text,
    sequence integer
  ) strict;
`;
