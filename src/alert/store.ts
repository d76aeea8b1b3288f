/** What alerts need kept: the outbox, one row for each alert and sink, until it is delivered or given up. */
import type { Micros } from "../kit/clock.ts";
import type { Alert, AlertType, Severity } from "./alert.ts";

/** A row whose time has come. */
export type DueAlert = {
  id: string;
  sink: string;
  /** Attempts that have failed. */
  attempts: number;
  /** The alert as kept (`readAlert`): what can't be read is the row's fault, not the outbox's. */
  body: string;
};

export type DeliveryKey = { id: string; sink: string };

export const deliveryStates = ["pending", "delivered", "dead"] as const;

/** `dead`: given up, for a person to look at. */
export type DeliveryState = (typeof deliveryStates)[number];

/** An alert as it is listed. */
export type AlertView = {
  id: string;
  type: AlertType;
  at: Micros;
  severity: Severity;
  /** Absent where the row can't be read. */
  alert?: Alert;
  deliveries: {
    sink: string;
    state: DeliveryState;
    /** Attempts that have failed. */
    attempts: number;
    /** When it is tried next, while pending. */
    nextAt?: Micros;
    /** When it was delivered or given up. */
    doneAt?: Micros;
    /** Why the last attempt failed. */
    error?: string;
  }[];
};

/** Which alerts: all conditions must hold. `from` is inclusive, `to` exclusive; `sink` and `state` mean one delivery. */
export type AlertFilter = {
  type?: AlertType;
  sink?: string;
  state?: DeliveryState;
  from?: Micros;
  to?: Micros;
  /** At most this many, the newest first. */
  limit: number;
  /** What `next` of the page before said. */
  cursor?: number;
};

export type OutboxStore = {
  /**
   * Up to `limit` rows of one sink that are due, the longest due first. Where several processes share an outbox, the
   * backend gives a row to one of them at a time.
   */
  dueAlerts: (due: { sink: string; now: Micros; limit: number }) => Promise<DueAlert[]>;
  alertDelivered: (done: DeliveryKey & { at: Micros }) => Promise<void>;
  /** An attempt failed, `attempts` so far; it is tried again at `nextAt`. */
  alertFailed: (failed: DeliveryKey & { attempts: number; nextAt: Micros; error: string }) => Promise<void>;
  /** It is not tried again, unless revived. */
  alertDead: (dead: DeliveryKey & { attempts: number; at: Micros; error: string }) => Promise<void>;
  /** Makes the dead letters of a sink due at `at`, with all their attempts; how many. */
  reviveAlerts: (revived: { sink: string; at: Micros }) => Promise<number>;
  /** The sinks that have pending rows, configured or not. */
  pendingSinks: () => Promise<string[]>;
  /** `next` is the cursor of the next page, absent at the end. */
  alerts: (filter: AlertFilter) => Promise<{ alerts: AlertView[]; next?: number }>;
};
