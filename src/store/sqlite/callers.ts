/** Callers as rows. */
import type { Database } from "better-sqlite3";
import type { Caller } from "../../identity/caller.ts";
import type { Micros } from "../../kit/clock.ts";
import type { CallerRows, KeptCaller } from "../acts/callers.ts";

type Row = { body: string; added_at: string; revoked_at: string | null };

const callerOf = ({ body, added_at, revoked_at }: Row): KeptCaller => ({
  ...(JSON.parse(body) as Caller),
  addedAt: added_at,
  ...(revoked_at === null ? {} : { revokedAt: revoked_at }),
});

const instant = (at: Micros): string => new Date(at / 1000).toISOString();

export const callerRows = (db: Database): CallerRows => {
  const columns = "select body, added_at, revoked_at from caller";
  const all = db.prepare<[], Row>(`${columns} order by name`);
  const named = db.prepare<[string], Row>(`${columns} where name = ?`);
  const usesKey = db
    .prepare<[string], number>("select 1 from caller where json_extract(body, '$.keyHash') = ?")
    .pluck();
  const insert = db.prepare("insert into caller (name, body, added_at) values (?, ?, ?)");
  const revoke = db.prepare("update caller set revoked_at = ? where name = ?");
  return {
    list: () => all.all().map(callerOf),
    named: (name) => {
      const row = named.get(name);
      return row && callerOf(row);
    },
    usesKey: (keyHash) => usesKey.get(keyHash) !== undefined,
    insert: (caller, at) => void insert.run(caller.name, JSON.stringify(caller), instant(at)),
    revoke: (name, at) => void revoke.run(instant(at), name),
  };
};
