-- Two roles: `remit_owner` owns the tables and brings them forward, `remit_service` serves and can do no more than that.
-- Run by a superuser in the database of the ledger, once before `remit store migrate` as `remit_owner`, and once more after
-- each migration, which may have made tables. Passwords are set apart from this: \password remit_service

do $$ begin
  if not exists (select 1 from pg_roles where rolname = 'remit_owner') then create role remit_owner login; end if;
  if not exists (select 1 from pg_roles where rolname = 'remit_service') then create role remit_service login; end if;
end $$;

revoke create on schema public from public;
grant usage, create on schema public to remit_owner;
grant usage on schema public to remit_service;

grant select, insert, update, delete on all tables in schema public to remit_service;
grant usage on all sequences in schema public to remit_service;

-- What is recorded can't be changed or taken away by whoever serves, and no table is brought forward by it.
do $$ declare recorded text; begin
  foreach recorded in array array['entry', 'policy_set', 'schema_version'] loop
    if to_regclass(recorded) is not null then
      execute format('revoke update, delete, truncate on %I from remit_service', recorded);
    end if;
  end loop;
  if to_regclass('schema_version') is not null then revoke insert on schema_version from remit_service; end if;
end $$;

-- Where services prune old entries, their role must be able to delete them. What isn't pruned can't be deleted even then, but whoever
-- has the role could say that it is pruned: only where that is wanted, and after this script each time.
--   grant delete on entry to remit_service;
