/** The tables of agents. Each is a step of the data directory's versions. */

export const agentKeyTables = `
  -- Keys that agents are recognised by: the hash alone, and the row for good.
  create table agent_key (
    id text primary key,
    agent text not null,
    hash text not null unique,
    name text,
    created_at integer not null,
    created_by text not null,
    expires_at integer,
    revoked_at integer,
    revoked_by text
  ) strict, without rowid;
  create index agent_key_agent on agent_key (agent, created_at);
`;

export const agentTables = `
  -- Agents that were registered at run time; those of the file are not here.
  create table agent (
    id text primary key,
    body text not null,
    expires_at integer,
    created_at integer not null,
    created_by text not null
  ) strict, without rowid;

  -- The last word on an agent, whether registered here, in the file or nowhere.
  create table agent_status (
    agent text primary key,
    status text not null check (status in ('requested', 'active', 'suspended', 'revoked')),
    reason text not null,
    by text not null,
    at integer not null
  ) strict, without rowid;

  -- What was stopped, until it is lifted: whoever it fits is denied, those too that come later.
  create table kill (
    id text primary key,
    target text not null check (target in ('agent', 'run', 'owner', 'team', 'all')),
    value text not null,
    action text not null check (action in ('suspend', 'revoke')),
    reason text not null,
    by text not null,
    at integer not null,
    lifted_at integer,
    lifted_by text,
    lift_reason text
  ) strict, without rowid;
  create index kill_standing on kill (at) where lifted_at is null;

  -- Denials of an agent, as far back as the rule that contains agents looks.
  create table agent_denial (
    agent text not null,
    decision text not null,
    at integer not null,
    runaway integer not null,
    primary key (agent, at, decision)
  ) strict, without rowid;

  alter table hold add column frozen integer not null default 0;
`;

export const delegationTables = `
  create table delegation (
    id text primary key,
    delegator_type text not null,
    delegator_id text not null,
    delegate text not null,
    scope text not null,
    depth integer not null check (depth >= 0),
    -- The one that it passes on.
    origin text references delegation,
    expires_at integer,
    reason text not null,
    by text not null,
    at integer not null,
    revoked_at integer,
    revoked_by text
  ) strict, without rowid;
  create index delegation_delegate on delegation (delegate);
  create index delegation_origin on delegation (origin) where origin is not null;
`;
