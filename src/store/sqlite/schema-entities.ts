/** The tables of entities that were put in at run time: a step of the data directory's versions. */

export const entityTables = `
  -- Entities of the API; those of files are not here. The key leads from a type to its ids.
  create table entity (
    type text not null,
    id text not null,
    body text not null,
    at integer not null,
    by text not null,
    primary key (type, id)
  ) strict, without rowid;

  -- Names what the table holds, by every change that led there.
  create table entity_state (digest text not null) strict;
`;
