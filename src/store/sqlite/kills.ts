/** What was stopped, as rows. */
import type { Database } from "better-sqlite3";
import type { Kill, KillAction, TargetKind } from "../../agent/store.ts";
import type { Kills } from "../acts/kills.ts";

type Row = {
  id: string;
  target: TargetKind;
  value: string;
  action: KillAction;
  reason: string;
  by: string;
  at: number;
  lifted_at: number | null;
  lifted_by: string | null;
  lift_reason: string | null;
};

const killOf = (row: Row): Kill => ({
  id: row.id,
  target: { kind: row.target, value: row.value },
  action: row.action,
  reason: row.reason,
  by: row.by,
  at: row.at,
  ...(row.lifted_at === null ? {} : { liftedAt: row.lifted_at }),
  ...(row.lifted_by === null ? {} : { liftedBy: row.lifted_by }),
  ...(row.lift_reason === null ? {} : { liftReason: row.lift_reason }),
});

export const createKills = (db: Database): Kills => {
  const all = db.prepare<[], Row>("select * from kill order by at desc, id desc");
  const find = db.prepare<[string], Row>("select * from kill where id = ?");
  const standing = db.prepare<[], Row>("select * from kill where lifted_at is null order by at");
  const insert = db.prepare(
    "insert into kill (id, target, value, action, reason, by, at) values (?, ?, ?, ?, ?, ?, ?)",
  );
  const lift = db.prepare("update kill set lifted_at = ?, lifted_by = ?, lift_reason = ? where id = ?");
  let remembered: readonly Kill[] | undefined;
  return {
    list: () => all.all().map(killOf),
    find: (id) => {
      const row = find.get(id);
      return row && killOf(row);
    },
    standing: () => (remembered ??= standing.all().map(killOf)),
    insert: ({ id, target, action, reason, by, at }) => {
      insert.run(id, target.kind, target.value, action, reason, by, at);
      remembered = undefined;
    },
    lift: (id, { at, by, reason }) => {
      lift.run(at, by, reason, id);
      remembered = undefined;
    },
  };
};
