/** The tables of what enforcement points report, and of what was erased. */

/** One step of the migration. */
export const outcomeTables = `
  -- How a permitted action ended: said once for each decision.
  create table outcome (
    decision text primary key,
    fingerprint text not null,
    idx integer not null references entry
  ) strict, without rowid;
`;
