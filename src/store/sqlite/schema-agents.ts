/** The tables of agents. */

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
