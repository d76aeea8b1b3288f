/** The tables that entries are found by. They are filled from the entries themselves, off the answering path. */

/** One step of the migration. */
export const facetTables = `
  create table facet (
    id integer primary key,
    kind text not null,
    value text not null,
    unique (kind, value)
  ) strict;

  create table entry_facet (
    facet integer not null,
    idx integer not null,
    primary key (facet, idx)
  ) strict, without rowid;

  -- Trace ids are the client's: deleted by an erasure.
  create table entry_trace (
    trace text not null,
    idx integer not null,
    primary key (trace, idx)
  ) strict, without rowid;

  -- How many entries are in these tables; and how long before an entry that stands before it one may be dated.
  create table search (
    id integer primary key check (id = 0),
    size integer not null,
    disorder integer not null
  ) strict;
  insert into search (id, size, disorder) values (0, 0, 0);

  create index pseudonym_entity on pseudonym (id) where kind in ('entity', 'type');
`;
