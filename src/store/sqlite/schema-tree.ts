/** The tables of the ledger's tree. */

/** One step of the migration. */
export const treeTables = `
  -- Hashes of the tree, 256 to a tile; tiles of level 0 are kept when they are full, others as they grow.
  create table tile (
    level integer not null,
    idx integer not null,
    hashes blob not null,
    primary key (level, idx)
  ) strict;

  -- Signed tree heads: the first of each minute, and the newest.
  create table checkpoint (
    size integer primary key,
    root blob not null,
    note text not null,
    at integer not null
  ) strict;
`;
