/** Alerts and their deliveries as they are listed. */
import { type Alert, type AlertType, readAlert, type Severity } from "../../alert/alert.ts";
import type { AlertView, DeliveryState } from "../../alert/store.ts";

/** An alert as a store gives it. */
export type AlertRow = {
  seq: number;
  id: string;
  type: AlertType;
  severity: Severity;
  at: number;
  body: string;
};

/** A delivery of it. */
export type DeliveryRow = {
  sink: string;
  state: DeliveryState;
  attempts: number;
  next_at: number | null;
  done_at: number | null;
  error: string | null;
};

const readable = (body: string): Alert | undefined => {
  try {
    return readAlert(body);
  } catch {
    return undefined;
  }
};

const deliveryView = (row: DeliveryRow): AlertView["deliveries"][number] => ({
  sink: row.sink,
  state: row.state,
  attempts: row.attempts,
  ...(row.next_at === null ? {} : { nextAt: row.next_at }),
  ...(row.done_at === null ? {} : { doneAt: row.done_at }),
  ...(row.error === null ? {} : { error: row.error }),
});

/** An alert with its deliveries; what of it can't be read is left out. */
export const alertView = (
  { id, type, severity, at, body }: AlertRow,
  deliveries: readonly DeliveryRow[],
): AlertView => {
  const alert = readable(body);
  return { id, type, at, severity, ...(alert ? { alert } : {}), deliveries: deliveries.map(deliveryView) };
};
