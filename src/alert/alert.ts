/** What an alert is: something a person must hear of, with an identity that makes it be said once. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Micros } from "../kit/clock.ts";
import { isObject, type JsonObject } from "../kit/json.ts";

export const alertTypes = [
  "budget.threshold",
  "budget.exhausted",
  "budget.overrun",
  "budget.burn_rate",
  "hold.lapsed",
  "usage.unpriced",
  "runaway",
  "agent.contained",
  "ledger.unavailable",
  "policy.reload_failed",
  "engine.mismatch",
  "alert.test",
] as const;

export type AlertType = (typeof alertTypes)[number];

export const severities = ["info", "warning", "critical"] as const;

export type Severity = (typeof severities)[number];

export type Alert = {
  /** Stable and unique: the receiver's key against duplicates. Holds no full stop, which delimits what is signed. */
  id: string;
  type: AlertType;
  /** When it happened, not when it was sent. */
  at: Micros;
  severity: Severity;
  /** One line. */
  title: string;
  /** A few sentences for a person. */
  text: string;
  /** The same for a machine. */
  data: JsonObject;
};

/**
 * The id of what happened: the same occasion (such as account, window, threshold and limit version) always has the
 * same id, so that the outbox takes it once, however many requests notice it.
 */
export const alertId = (type: AlertType, occasion: readonly (string | number)[]): string =>
  `alert_${createHash("sha256")
    .update(JSON.stringify([type, ...occasion]))
    .digest("base64url")}`;

const shape: z.ZodType<Alert> = z.strictObject({
  id: z.string().regex(/^[\w-]{1,128}$/),
  type: z.enum(alertTypes),
  at: z.number().int(),
  severity: z.enum(severities),
  title: z.string(),
  text: z.string(),
  data: z.custom<JsonObject>(isObject, "expected an object"),
});

/** An alert as the outbox keeps it. Not checked: an alert that is amiss must not undo the act that it tells of. */
export const alertText = (alert: Alert): string => JSON.stringify(alert);

/** Reads what `alertText` wrote. @throws when it is no alert */
export const readAlert = (text: string): Alert => shape.parse(JSON.parse(text));
