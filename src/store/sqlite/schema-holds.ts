/** How holds are kept since they are one row each: a step of the data directory's versions. */

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
