/** The outbox in SQLite: alerts go in within the transaction that caused them, deliveries are marked one by one. */
import type { Database } from "better-sqlite3";
import { type Alert, alertText } from "../../alert/alert.ts";
import type { AlertFilter, AlertView, DeliveryKey, DueAlert } from "../../alert/store.ts";
import { type AlertRow, alertView, type DeliveryRow } from "../acts/alert-views.ts";
import type { Micros } from "../../kit/clock.ts";

/** A step of the data directory's versions. */
export const outboxTables = `
  create table alert (
    seq integer primary key,
    id text not null unique,
    type text not null,
    severity text not null,
    at integer not null,
    body text not null
  ) strict;

  create table alert_delivery (
    seq integer not null references alert,
    sink text not null,
    state text not null check (state in ('pending', 'delivered', 'dead')),
    -- Those that failed.
    attempts integer not null default 0,
    next_at integer,
    done_at integer,
    error text,
    primary key (seq, sink)
  ) strict, without rowid;
  create index alert_delivery_due on alert_delivery (sink, next_at) where state = 'pending';
  create index alert_delivery_dead on alert_delivery (sink) where state = 'dead';
`;

export type OutboxRows = {
  /**
   * Puts an alert in for these sinks, within the open transaction. An id that is there already changes nothing: the
   * first word stands, and no sink hears of it twice. Whether it is new.
   */
  insertAlert: (alert: Alert, sinks: readonly string[]) => boolean;
  due: (due: { sink: string; now: Micros; limit: number }) => DueAlert[];
  delivered: (done: DeliveryKey & { at: Micros }) => void;
  failed: (failed: DeliveryKey & { attempts: number; nextAt: Micros; error: string }) => void;
  dead: (dead: DeliveryKey & { attempts: number; at: Micros; error: string }) => void;
  revive: (revived: { sink: string; at: Micros }) => number;
  pendingSinks: () => string[];
  list: (filter: AlertFilter) => { alerts: AlertView[]; next?: number };
};

const conditionsOf = (filter: AlertFilter): { where: string[]; values: unknown[] } => {
  const where: string[] = [];
  const values: unknown[] = [];
  const add = (condition: string, ...given: unknown[]): void => {
    where.push(condition);
    values.push(...given);
  };
  if (filter.type !== undefined) add("a.type = ?", filter.type);
  if (filter.from !== undefined) add("a.at >= ?", filter.from);
  if (filter.to !== undefined) add("a.at < ?", filter.to);
  if (filter.cursor !== undefined) add("a.seq < ?", filter.cursor);
  const { sink, state } = filter;
  const delivery = [
    sink === undefined ? [] : ["d.sink = ?"],
    state === undefined ? [] : ["d.state = ?"],
  ].flat();
  if (delivery.length > 0)
    add(
      `exists (select 1 from alert_delivery d where d.seq = a.seq and ${delivery.join(" and ")})`,
      ...[sink, state].filter((value) => value !== undefined),
    );
  return { where, values };
};

const listAlerts = (db: Database, filter: AlertFilter): { alerts: AlertView[]; next?: number } => {
  const { where, values } = conditionsOf(filter);
  const condition = where.length === 0 ? "" : `where ${where.join(" and ")}`;
  const rows = db
    .prepare<unknown[], AlertRow>(
      `select seq, id, type, severity, at, body from alert a ${condition} order by seq desc limit ?`,
    )
    .all(...values, filter.limit + 1);
  const deliveries = db.prepare<[number], DeliveryRow>(
    "select sink, state, attempts, next_at, done_at, error from alert_delivery where seq = ? order by sink",
  );
  const page = rows.slice(0, filter.limit);
  const alerts = page.map((row) => alertView(row, deliveries.all(row.seq)));
  const last = page.at(-1);
  return rows.length > filter.limit && last ? { alerts, next: last.seq } : { alerts };
};

/** The outbox of an open database that has `outboxTables`. */
export const outboxRows = (db: Database): OutboxRows => {
  const insert = db.prepare(
    "insert into alert (id, type, severity, at, body) values (?, ?, ?, ?, ?) on conflict (id) do nothing",
  );
  const insertDelivery = db.prepare(
    `insert into alert_delivery (seq, sink, state, next_at)
     select seq, ?, 'pending', at from alert where id = ? on conflict do nothing`,
  );
  const due = db.prepare<[string, number, number], DueAlert>(
    `select a.id as id, d.sink as sink, d.attempts as attempts, a.body as body
     from alert_delivery d join alert a on a.seq = d.seq
     where d.state = 'pending' and d.sink = ? and d.next_at <= ? order by d.next_at, d.seq limit ?`,
  );
  const pending = "state = 'pending' and sink = ? and seq = (select seq from alert where id = ?)";
  const delivered = db.prepare(
    `update alert_delivery set state = 'delivered', next_at = null, done_at = ? where ${pending}`,
  );
  const failed = db.prepare(
    `update alert_delivery set attempts = ?, next_at = ?, error = ? where ${pending}`,
  );
  const dead = db.prepare(
    `update alert_delivery set state = 'dead', attempts = ?, next_at = null, done_at = ?, error = ?
     where ${pending}`,
  );
  const revive = db.prepare(
    `update alert_delivery set state = 'pending', attempts = 0, next_at = ?, done_at = null
     where state = 'dead' and sink = ?`,
  );
  const sinks = db
    .prepare<[], string>("select distinct sink from alert_delivery where state = 'pending' order by sink")
    .pluck();
  return {
    insertAlert: (alert, names) => {
      const body = alertText(alert);
      const { changes } = insert.run(alert.id, alert.type, alert.severity, alert.at, body);
      for (const name of names) insertDelivery.run(name, alert.id);
      return changes === 1;
    },
    due: ({ sink, now, limit }) => due.all(sink, now, limit),
    delivered: ({ id, sink, at }) => void delivered.run(at, sink, id),
    failed: ({ id, sink, attempts, nextAt, error }) => void failed.run(attempts, nextAt, error, sink, id),
    dead: ({ id, sink, attempts, at, error }) => void dead.run(attempts, at, error, sink, id),
    revive: ({ sink, at }) => revive.run(at, sink).changes,
    pendingSinks: () => sinks.all(),
    list: (filter) => listAlerts(db, filter),
  };
};

/** What the writer's thread answers; the counterpart of `connectOutbox`. */
export const outboxHandlers = (rows: OutboxRows): Record<string, (value: never) => unknown> => ({
  dueAlerts: rows.due,
  alertDelivered: rows.delivered,
  alertFailed: rows.failed,
  alertDead: rows.dead,
  reviveAlerts: rows.revive,
  pendingSinks: rows.pendingSinks,
  alerts: rows.list,
});
