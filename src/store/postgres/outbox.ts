/**
 * The outbox that several processes deliver from: alerts go in within the transaction that caused them, and whoever takes a
 * delivery that is due has it for a while. If it dies meanwhile, another one takes it then: at least once, as a rule once.
 */
import type pg from "pg";
import type { AlertFilter, AlertView, DueAlert, OutboxStore } from "../../alert/store.ts";
import { type AlertRow, alertView, type DeliveryRow } from "../acts/alert-views.ts";
import { readRows } from "./rows.ts";

/** How long a delivery is its taker's: longer than an attempt may take. */
const leaseMicros = 60_000_000;

const conditionsOf = (filter: AlertFilter, add: (value: unknown) => string): string[] => {
  const { type, from, to, cursor, sink, state } = filter;
  const delivery = [
    ...(sink === undefined ? [] : [`d.sink = ${add(sink)}`]),
    ...(state === undefined ? [] : [`d.state = ${add(state)}`]),
  ];
  return [
    ...(type === undefined ? [] : [`a.type = ${add(type)}`]),
    ...(from === undefined ? [] : [`a.at >= ${add(from)}`]),
    ...(to === undefined ? [] : [`a.at < ${add(to)}`]),
    ...(cursor === undefined ? [] : [`a.seq < ${add(cursor)}`]),
    ...(delivery.length === 0
      ? []
      : [`exists (select 1 from alert_delivery d where d.alert = a.id and ${delivery.join(" and ")})`]),
  ];
};

const listAlerts = async (
  pool: pg.Pool,
  filter: AlertFilter,
): Promise<{ alerts: AlertView[]; next?: number }> => {
  const values: unknown[] = [];
  const where = conditionsOf(filter, (value) => `$${values.push(value)}`);
  const rows = await readRows<AlertRow>(
    pool,
    `select seq, id, type, severity, at, body from alert a
     ${where.length === 0 ? "" : `where ${where.join(" and ")}`} order by seq desc limit ${filter.limit + 1}`,
    values,
  );
  const page = rows.slice(0, filter.limit);
  const deliveries = await readRows<DeliveryRow & { alert: string }>(
    pool,
    'select * from alert_delivery where alert = any($1) order by sink collate "C"',
    [page.map(({ id }) => id)],
  );
  const alerts = page.map((row) =>
    alertView(
      row,
      deliveries.filter(({ alert }) => alert === row.id),
    ),
  );
  const last = page.at(-1);
  return rows.length > filter.limit && last ? { alerts, next: last.seq } : { alerts };
};

const pending = "state = 'pending' and sink = $1 and alert = $2";

export const createOutbox = (pool: pg.Pool): OutboxStore => ({
  dueAlerts: ({ sink, now, limit }) =>
    readRows<DueAlert & Record<string, unknown>>(
      pool,
      `with due as (
         select alert, sink from alert_delivery where state = 'pending' and sink = $1 and next_at <= $2
         order by next_at limit $3 for update skip locked),
       taken as (
         update alert_delivery d set next_at = $2 + ${leaseMicros} from due
         where d.alert = due.alert and d.sink = due.sink returning d.alert, d.sink, d.attempts)
       select a.id, t.sink, t.attempts, a.body from taken t join alert a on a.id = t.alert order by a.seq`,
      [sink, now, limit],
    ),
  alertDelivered: async ({ id, sink, at }) => {
    await readRows(
      pool,
      `update alert_delivery set state = 'delivered', next_at = null, done_at = $3 where ${pending}`,
      [sink, id, at],
    );
  },
  alertFailed: async ({ id, sink, attempts, nextAt, error }) => {
    await readRows(
      pool,
      `update alert_delivery set attempts = $3, next_at = $4, error = $5 where ${pending}`,
      [sink, id, attempts, nextAt, error],
    );
  },
  alertDead: async ({ id, sink, attempts, at, error }) => {
    await readRows(
      pool,
      `update alert_delivery set state = 'dead', attempts = $3, next_at = null, done_at = $4, error = $5
       where ${pending}`,
      [sink, id, attempts, at, error],
    );
  },
  reviveAlerts: async ({ sink, at }) => {
    const revived = await readRows(
      pool,
      `update alert_delivery set state = 'pending', attempts = 0, next_at = $2, done_at = null
       where state = 'dead' and sink = $1 returning 1 as one`,
      [sink, at],
    );
    return revived.length;
  },
  pendingSinks: async () => {
    const rows = await readRows<{ sink: string }>(
      pool,
      "select distinct sink from alert_delivery where state = 'pending'",
    );
    return rows.map(({ sink }) => sink).toSorted();
  },
  alerts: (filter) => listAlerts(pool, filter),
});
