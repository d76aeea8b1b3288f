/** The table of proofs that were used. A step of the data directory's versions. */

export const proofTables = `
  -- Proofs of possession that were used, by digest, until they would be too old anyhow.
  create table proof (
    key text not null,
    jti text not null,
    until integer not null,
    purpose text,
    primary key (key, jti)
  ) strict, without rowid;
  create index proof_until on proof (until);
`;
