/** Alerts for people: what was raised, and whether it arrived. */
import type { Hono } from "hono";
import { z } from "zod";
import { alertTypes } from "../alert/alert.ts";
import { type AlertView, deliveryStates, type OutboxStore } from "../alert/store.ts";
import { jsonAnswer } from "./answer.ts";
import type { Add, Endpoint } from "./endpoint.ts";
import type { Guard } from "./guard.ts";
import { instantOf, instantText, shaped } from "./shaped.ts";

export type AlertParts = { guard: Guard; outbox: OutboxStore };

const datetime = z.iso.datetime({ offset: true });

const query = z.strictObject({
  type: z.enum(alertTypes).optional(),
  sink: z.string().min(1).optional(),
  state: z.enum(deliveryStates).optional(),
  from: datetime.optional(),
  to: datetime.optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.coerce.number().int().min(0).optional(),
});

const shown = ({ id, type, severity, at, alert, deliveries }: AlertView): Record<string, unknown> => ({
  id,
  type,
  severity,
  at: instantText(at),
  ...(alert ? { title: alert.title, text: alert.text, data: alert.data } : {}),
  deliveries: deliveries.map(({ sink, state, attempts, nextAt, doneAt, error }) => ({
    sink,
    state,
    attempts,
    ...(nextAt === undefined ? {} : { next_at: instantText(nextAt) }),
    ...(doneAt === undefined ? {} : { done_at: instantText(doneAt) }),
    ...(error === undefined ? {} : { error }),
  })),
});

const listAlerts =
  ({ guard, outbox }: AlertParts): Endpoint =>
  async (c) => {
    await guard(c, "operate");
    const { type, sink, state, from, to, limit, cursor } = shaped(query, c.req.query());
    const page = await outbox.alerts({
      limit,
      ...(type === undefined ? {} : { type }),
      ...(sink === undefined ? {} : { sink }),
      ...(state === undefined ? {} : { state }),
      ...(from === undefined ? {} : { from: instantOf(from) }),
      ...(to === undefined ? {} : { to: instantOf(to) }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    const alerts = page.alerts.map(shown);
    return jsonAnswer(200, page.next === undefined ? { alerts } : { alerts, next: page.next });
  };

/** Adds `/v1/alerts`. */
export const addAlertRoutes = (app: Hono, parts: AlertParts, add: Add): void =>
  add(app, "get", "/v1/alerts", listAlerts(parts));

/** What requests bring, for their description. */
export const alertShapes: Record<"list", z.ZodType> = { list: query };
