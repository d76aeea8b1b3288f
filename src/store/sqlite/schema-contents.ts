/** The table of what the files in force are made of. */

/** One step of the migration. */
export const contentsTables = `
  -- The digest of each policy, budget and model's prices in force, so that a change of the files can be told.
  create table in_force (
    part text not null,
    name text not null,
    digest text not null,
    primary key (part, name)
  ) strict, without rowid;
`;
