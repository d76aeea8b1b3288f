/** The hold of one call: kept open while the call runs, and settled whatever comes of it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "../../kit/json.ts";
import type { Client } from "../client.ts";
import type { Hold } from "../decision.ts";
import { PdpError } from "../fault.ts";
import type { Question } from "../question.ts";
import type { Consumption } from "../settlement.ts";

export type Meter = {
  /**
   * Charges what the provider says was used; without it, or where it can't be priced, all that was held. Only the first
   * call of this and of `release` counts. Never rejects.
   */
  settle: (usage: JsonObject | undefined) => Promise<void>;
  /** Nothing was used. Never rejects. */
  release: (reason: string) => Promise<void>;
};

export type MeterParts = {
  client: Client;
  hold: Hold;
  /** What was permitted. */
  question: Question;
  /** How often the hold is kept open. */
  beatMs: number;
  /** Fields of usage objects that cost nothing, and that the PDP doesn't know. */
  allow: ReadonlySet<string>;
  /** Somebody ended the hold, so the call must end. */
  onClosed: () => void;
  onSettled: (state: string) => void;
  /** What was reported can't be priced; all that was held is charged. */
  onUnpriced: (error: PdpError) => void;
  onUnsettled: (error: unknown) => void;
};

const has = (error: unknown, ...statuses: number[]): error is PdpError =>
  error instanceof PdpError && error.status !== undefined && statuses.includes(error.status);

/** Pauses between tries to settle: a PDP that restarts is back by then. The hold may lapse; that is corrected late. */
const pausesMs = [250, 1000, 4000, 15_000, 60_000];

const isPassing = (error: unknown): boolean =>
  error instanceof PdpError &&
  (error.reason === "unreachable" || error.reason === "timeout" || (error.status ?? 0) >= 500);

const again = async <T>(act: () => Promise<T>): Promise<T> => {
  for (const pauseMs of pausesMs) {
    try {
      return await act();
    } catch (error) {
      if (!isPassing(error)) throw error;
      await sleep(pauseMs, undefined, { ref: false });
    }
  }
  return act();
};

/** The hold's first life: it is kept open for as long again. */
const lifeMs = ({ expiresAt }: Hold): number => {
  const left = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt) - Date.now();
  return Number.isNaN(left) ? 60_000 : Math.min(Math.max(left, 1000), 86_400_000);
};

/** Keeps a hold open. Gives the end of that. */
const keepOpen = ({ client, hold, beatMs, onClosed }: MeterParts): (() => void) => {
  const ttlMs = lifeMs(hold);
  const beat = setInterval(
    () => {
      client.holds.extend(hold.id, { ttlSeconds: Math.ceil(ttlMs / 1000) }).catch((error: unknown) => {
        // It was frozen, released or never there: this call was stopped.
        if (has(error, 404, 409)) onClosed();
      });
    },
    Math.min(beatMs, ttlMs / 3),
  );
  beat.unref();
  return () => clearInterval(beat);
};

/** What was used under a hold that somebody else ended was used all the same. */
const report = async (
  { client, hold, question, onUnpriced }: MeterParts,
  usage: JsonObject | undefined,
): Promise<string> => {
  const { concurrent: _, ...amounts } = hold.amounts ?? {};
  const send = (consumed: Consumption): Promise<void> =>
    client.reportUsage({
      source: "remit-proxy",
      id: hold.id,
      subject: question.subject,
      run: question.remit?.run,
      action: question.action.name,
      resource: question.resource,
      ...consumed,
    });
  try {
    await send(usage === undefined ? { amounts } : { usage });
  } catch (error) {
    if (usage === undefined || !has(error, 400)) throw error;
    onUnpriced(error);
    await send({ amounts });
  }
  return "reported";
};

/** Opens the meter of a hold. */
export const openMeter = (parts: MeterParts): Meter => {
  const { client, hold, allow, onSettled, onUnpriced, onUnsettled } = parts;
  const stop = keepOpen(parts);
  let ended: Promise<void> | undefined;
  const end = (act: () => Promise<string>): Promise<void> => {
    stop();
    ended ??= act().then(onSettled, onUnsettled);
    return ended;
  };
  const charge = async (usage: JsonObject | undefined): Promise<string> => {
    try {
      // A unit that the last settlement leaves out is charged as it was held.
      const consumed = usage === undefined ? { amounts: {} } : { usage };
      return (await again(() => client.holds.settle(hold.id, consumed))).state;
    } catch (error) {
      if (has(error, 409)) return again(() => report(parts, usage));
      if (usage === undefined || !has(error, 400)) throw error;
      // What can't be priced may have cost anything: it counts as the most that it could.
      onUnpriced(error);
      return charge(undefined);
    }
  };
  const counted = (usage: JsonObject): JsonObject =>
    Object.fromEntries(Object.entries(usage).filter(([name]) => !allow.has(`usage.${name}`)));
  return {
    settle: (usage) => end(() => charge(usage && counted(usage))),
    release: (reason) =>
      end(async () => {
        try {
          return (await again(() => client.holds.release(hold.id, reason))).state;
        } catch (error) {
          if (has(error, 409)) return "released";
          throw error;
        }
      }),
  };
};
