/** Delegations as rows. */
import type { Database } from "better-sqlite3";
import type { Delegation, Scope } from "../../agent/delegation.ts";
import type { Delegations } from "../acts/delegations.ts";

type Row = {
  id: string;
  delegator_type: string;
  delegator_id: string;
  delegate: string;
  scope: string;
  depth: number;
  origin: string | null;
  expires_at: number | null;
  reason: string;
  by: string;
  at: number;
  revoked_at: number | null;
  revoked_by: string | null;
};

const delegationOf = (row: Row): Delegation => ({
  id: row.id,
  delegator: { type: row.delegator_type, id: row.delegator_id },
  delegate: row.delegate,
  scope: JSON.parse(row.scope) as Scope,
  depth: row.depth,
  ...(row.origin === null ? {} : { from: row.origin }),
  ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
  reason: row.reason,
  by: row.by,
  at: row.at,
  ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
  ...(row.revoked_by === null ? {} : { revokedBy: row.revoked_by }),
});

export const createDelegations = (db: Database): Delegations => {
  const all = db.prepare<[string | null, string | null, string | null, string | null], Row>(
    `select * from delegation where (? is null or delegator_id = ?) and (? is null or delegate = ?)
     order by at desc, id desc`,
  );
  const find = db.prepare<[string], Row>("select * from delegation where id = ?");
  const to = db.prepare<[string], Row>("select * from delegation where delegate = ?");
  const insert = db.prepare(
    `insert into delegation (id, delegator_type, delegator_id, delegate, scope, depth, origin, expires_at, reason, by, at)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const revoke = db.prepare(
    `with recursive below (id) as (
       select ? union select d.id from delegation d join below on d.origin = below.id)
     update delegation set revoked_at = ?, revoked_by = ? where revoked_at is null and id in (select id from below)`,
  );
  return {
    list: ({ delegator = null, delegate = null }) =>
      all.all(delegator, delegator, delegate, delegate).map(delegationOf),
    find: (id) => {
      const row = find.get(id);
      return row && delegationOf(row);
    },
    to: (delegate) => to.all(delegate).map(delegationOf),
    insert: ({ id, delegator, delegate, scope, depth, from, expiresAt, reason, by, at }) =>
      void insert.run(
        id,
        delegator.type,
        delegator.id,
        delegate,
        JSON.stringify(scope),
        depth,
        from ?? null,
        expiresAt ?? null,
        reason,
        by,
        at,
      ),
    revoke: (id, at, by) => revoke.run(id, at, by).changes,
  };
};
