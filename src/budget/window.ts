/**
 * Windows of budgets: which period an instant belongs to. Periods tile time without gap or overlap, by the wall
 * clock of the window's zone, so that a window is a row keyed by its start and nothing ever needs a reset.
 */
import { assert } from "../kit/assert.ts";
import type { Micros } from "../kit/clock.ts";
import { firstInstantMs, offsetChangeMs, offsetMs } from "./zone.ts";

export { isZone } from "./zone.ts";

export type CalendarUnit = "minute" | "hour" | "day" | "week" | "month" | "quarter" | "year";

/** Monday is 1, as in ISO 8601. */
export type Weekday = 1 | 2 | 3 | 4 | 5 | 6 | 7;

export type CalendarWindow = { kind: "calendar"; every: CalendarUnit; zone: string; weekStart: Weekday };

/** The last `lengthMs`, counted in `buckets` of equal width, which must be a whole number of milliseconds. */
export type RollingWindow = { kind: "rolling"; lengthMs: number; buckets: number };

export type Window = CalendarWindow | RollingWindow | { kind: "lifetime" };

/** One period, from `start` up to, and without, `end`; `end` is absent for a lifetime. */
export type Period = { readonly start: Micros; readonly end?: Micros };

type BoundedPeriod = Required<Period>;

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
/** Beyond it a clock is wrong, and time zones are anyone's guess. */
const latest: Micros = Date.UTC(2200, 0, 1) * 1000;
const cachedWindowsMax = 1000;
const cachedPeriodsMax = 8;

const assertSane = (at: Micros): void => {
  assert(Number.isSafeInteger(at) && at >= 0 && at < latest, "an instant is outside the years 1970 to 2199");
};

/** The wall at which the window of `wallMs` begins, if `step` is 0; else the one of the window `step` further on. */
const firstWallMs = ({ every, weekStart }: CalendarWindow, wallMs: number, step: 0 | 1): number => {
  const wall = new Date(wallMs);
  const [year, month] = [wall.getUTCFullYear(), wall.getUTCMonth()];
  if (every === "year") return Date.UTC(year + step, 0, 1);
  if (every === "quarter") return Date.UTC(year, month - (month % 3) + 3 * step, 1);
  if (every === "month") return Date.UTC(year, month + step, 1);
  const midnight = Math.floor(wallMs / dayMs) * dayMs;
  if (every === "day") return midnight + step * dayMs;
  return midnight + (step * 7 - ((wall.getUTCDay() - weekStart + 7) % 7)) * dayMs;
};

/** A window of whole local dates: it begins at the first instant that has its first date, or a later one where that was skipped. */
const datesAt = (window: CalendarWindow, atMs: number): BoundedPeriod => {
  const { zone } = window;
  const wallMs = firstWallMs(window, atMs + offsetMs(zone, atMs), 0);
  const nextWallMs = firstWallMs(window, wallMs, 1);
  const nextMs = firstInstantMs(zone, nextWallMs);
  if (atMs < nextMs) return { start: firstInstantMs(zone, wallMs) * 1000, end: nextMs * 1000 };
  // The clock was set back over midnight (St. John's at 00:01): yesterday's date returned after today had begun.
  return { start: nextMs * 1000, end: firstInstantMs(zone, firstWallMs(window, nextWallMs, 1)) * 1000 };
};

/**
 * An hour or minute: the longest run of instants with the same local hour (minute) and the same offset. A repeated
 * hour is a period of its own, a clock change within one cuts it in two, and none is longer than its unit.
 */
const timeOfDayAt = (zone: string, unitMs: number, atMs: number): BoundedPeriod => {
  const offset = offsetMs(zone, atMs);
  const startMs = Math.floor((atMs + offset) / unitMs) * unitMs - offset;
  const endMs = startMs + unitMs;
  return {
    start: (offsetChangeMs(zone, startMs, atMs) ?? startMs) * 1000,
    end: (offsetChangeMs(zone, atMs, endMs) ?? endMs) * 1000,
  };
};

/** Working a period out takes hundreds of times as long as finding it, so the latest few of each window are kept. */
const cachedPeriods = new Map<string, BoundedPeriod[]>();

const periodsOf = ({ every, zone, weekStart }: CalendarWindow): BoundedPeriod[] => {
  const key = every === "week" ? `${zone} ${every} ${weekStart}` : `${zone} ${every}`;
  const known = cachedPeriods.get(key);
  if (known) return known;
  if (cachedPeriods.size >= cachedWindowsMax) cachedPeriods.clear();
  const periods: BoundedPeriod[] = [];
  cachedPeriods.set(key, periods);
  return periods;
};

const calendarAt = (window: CalendarWindow, at: Micros): BoundedPeriod => {
  const periods = periodsOf(window);
  const known = periods.find(({ start, end }) => start <= at && at < end);
  if (known) return known;
  const { every, zone } = window;
  const atMs = Math.floor(at / 1000);
  const period =
    every === "minute" || every === "hour"
      ? timeOfDayAt(zone, every === "hour" ? hourMs : minuteMs, atMs)
      : datesAt(window, atMs);
  assert(period.start <= at && at < period.end, "an instant is outside the period that was found for it");
  periods.unshift(Object.freeze(period));
  if (periods.length > cachedPeriodsMax) periods.pop();
  return period;
};

const bucketWidth = ({ lengthMs, buckets }: RollingWindow): Micros => {
  const widthMs = lengthMs / buckets;
  assert(
    Number.isSafeInteger(lengthMs * 1000) && buckets >= 1 && widthMs >= 1 && Number.isInteger(widthMs),
    "the buckets of a rolling window are not a whole number of milliseconds",
  );
  return widthMs * 1000;
};

/**
 * The period that consumption at `at` is written to: of a rolling window, a bucket, aligned to the epoch. Starts are
 * whole seconds for calendars and whole milliseconds for buckets. Throws a `Bug` outside the years 1970 to 2199,
 * for an unknown zone and for buckets that don't divide the length.
 */
export const periodAt = (window: Window, at: Micros): Period => {
  assertSane(at);
  if (window.kind === "lifetime") return { start: 0 };
  if (window.kind === "calendar") return calendarAt(window, at);
  const width = bucketWidth(window);
  const start = at - (at % width);
  return { start, end: start + width };
};

/**
 * The start of the earliest period that still counts at `at`; every later one counts too, including any that a
 * clock ahead of this one has written. For a rolling window the bucket that is only partly within the length counts
 * whole: all consumption of an age up to `lengthMs` is counted, and none of `lengthMs` and a bucket's width or more.
 * May be negative in early 1970.
 */
export const countedFrom = (window: Window, at: Micros): Micros => {
  const { start } = periodAt(window, at);
  return window.kind === "rolling" ? start - window.lengthMs * 1000 : start;
};

/**
 * When the mere passing of time will first lower what is counted: the end of the period, or, for a rolling window,
 * the moment the oldest counted bucket leaves. Given `oldestStart`, the start of the oldest bucket with something in
 * it, empty ones before it are passed over. Undefined for a lifetime.
 */
export const resetsAt = (window: Window, at: Micros, oldestStart?: Micros): Micros | undefined => {
  if (window.kind !== "rolling") return periodAt(window, at).end;
  const earliest = countedFrom(window, at);
  // A bucket that has left already says nothing: the next one to leave is then the earliest counted.
  const oldest = Math.max(oldestStart ?? earliest, earliest);
  return oldest + window.lengthMs * 1000 + bucketWidth(window);
};
