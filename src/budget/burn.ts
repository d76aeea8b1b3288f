/**
 * Burn rate: whether an account is being used up far faster than its window lasts. Two spans must agree, a long one
 * that shows it matters and a short one that shows it is still going on (Google SRE workbook, multi-window alerts).
 */
import type { Micros } from "../kit/clock.ts";
import type { Window } from "./window.ts";
import { periodAt } from "./window.ts";

/** Use is kept by the minute for this; the longest span is a twelfth of the window. */
export const burnMinuteMicros = 60_000_000;

export type BurnRule = {
  name: string;
  longMicros: number;
  shortMicros: number;
  /** Of the limit, in the long span. */ percent: number;
};

/** How long one window is, in microseconds; nothing for a lifetime, which nothing can outpace. */
export const spanOf = (window: Window, at: Micros): number | undefined => {
  if (window.kind === "rolling") return window.lengthMs * 1000;
  if (window.kind === "lifetime") return undefined;
  const { start, end } = periodAt(window, at);
  return end === undefined ? undefined : end - start;
};

/**
 * The rules for a window of this length: of a day, a tenth within 15 minutes, or a quarter within 2 hours. Windows
 * under six hours have none: their thresholds come soon enough.
 */
export const burnRules = (spanMicros: number): BurnRule[] =>
  spanMicros < 6 * 60 * burnMinuteMicros
    ? []
    : [
        { name: "fast", longMicros: spanMicros / 96, shortMicros: spanMicros / 720, percent: 10 },
        { name: "slow", longMicros: spanMicros / 12, shortMicros: spanMicros / 144, percent: 25 },
      ];

/** Whether so much use in both spans is too fast. The short span asks for its share of the same rate. */
export const burns = (
  { longMicros, shortMicros, percent }: BurnRule,
  limit: number,
  used: { long: number; short: number },
): boolean =>
  limit > 0 &&
  used.long * 100 >= percent * limit &&
  used.short * 100 * (longMicros / shortMicros) >= percent * limit;

/** When the account will be used up at the rate of the long span. */
export const exhaustionAt = (
  at: Micros,
  { longMicros }: BurnRule,
  usedLong: number,
  remaining: number,
): Micros => at + Math.ceil((remaining / usedLong) * longMicros);
