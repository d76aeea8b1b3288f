/** Callers that were added at run time. A name and a key are used once: what was revoked never comes back. */
import type { Database } from "better-sqlite3";
import type { Caller } from "../../identity/caller.ts";
import { Problem } from "../../kit/problem.ts";

export type KeptCaller = Caller & { addedAt: string; revokedAt?: string };

export type CallerRows = {
  add: (caller: Caller) => void;
  list: () => KeptCaller[];
  revoke: (name: string) => void;
};

type Row = { body: string; added_at: string; revoked_at: string | null };

export const callerRows = (db: Database): CallerRows => {
  const exists = db.prepare<[string], number>("select 1 from caller where name = ?").pluck();
  const usesKey = db
    .prepare<[string], number>("select 1 from caller where json_extract(body, '$.keyHash') = ?")
    .pluck();
  const insert = db.prepare("insert into caller (name, body, added_at) values (?, ?, ?)");
  const all = db.prepare<[], Row>("select body, added_at, revoked_at from caller order by name");
  const revoke = db.prepare("update caller set revoked_at = coalesce(revoked_at, ?) where name = ?");
  return {
    add: (caller) => {
      if (exists.get(caller.name) !== undefined)
        throw new Problem("conflict", `the caller name \`${caller.name}\` is taken`, { field: "name" });
      if (caller.keyHash !== undefined && usesKey.get(caller.keyHash) !== undefined)
        throw new Problem("conflict", "the key is, or was, another caller's", { field: "key_hash" });
      insert.run(caller.name, JSON.stringify(caller), new Date().toISOString());
    },
    list: () =>
      all.all().map(({ body, added_at, revoked_at }) => ({
        ...(JSON.parse(body) as Caller),
        addedAt: added_at,
        ...(revoked_at === null ? {} : { revokedAt: revoked_at }),
      })),
    revoke: (name) => {
      if (revoke.run(new Date().toISOString(), name).changes === 0)
        throw new Problem("not_found", `there is no caller \`${name}\``, { field: "name" });
    },
  };
};
