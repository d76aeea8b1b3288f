/** How holds are kept since they are one row each: steps of the data directory's versions. */

/** One step of the migration. */
export const holdLines = `
  -- JSON: of each account and window \`[account, start, unit, still held, charged so far (by a lapse too), on_lapse]\`.
  alter table hold add column lines text not null default '[]';
  update hold set lines = (
    select json_group_array(json_array(account, start, unit, held, charged, on_lapse))
    from hold_line where hold_line.hold = hold.id
  );
  drop table hold_line;
`;

/** The next: a hold is found where its decision is. */
export const holdRows = `
  alter table hold rename to hold_before;
  drop index hold_expiry;
  drop index hold_decision;

  create table hold (
    -- The index of the decision's entry, which the id begins with.
    n integer primary key,
    id text not null,
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
    overrun integer not null default 0,
    frozen integer not null default 0,
    -- JSON: of each account and window \`[account, start, unit, still held, charged so far (by a lapse too), on_lapse]\`.
    lines text not null,
    -- Of a version whose ids said nothing of where they are.
    before integer not null default 0
  ) strict;

  insert into hold
    select coalesce(e.idx, -row_number() over ()), h.id, h.decision, h.caller, h.state, h.created_at, h.expires_at,
      h.amounts, h.settled, h.priced, h.dimensions, h.agents, h.run, h.late, h.overrun, h.frozen,
      h.lines,
      1
    from hold_before h left join entry e on e.id = h.decision;
  drop table hold_before;

  create index hold_expiry on hold (expires_at) where state = 'open';
  create unique index hold_before on hold (id) where before = 1;
`;
