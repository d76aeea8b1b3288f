/**
 * Local time in an IANA zone: what the wall clock shows at an instant, and when it first shows a given time.
 * Instants are milliseconds since the epoch; a *wall* is a local date and time written as if it were UTC.
 */
import { assert } from "../kit/assert.ts";

const dayMs = 86_400_000;
const formattersMax = 1000;

/** A formatter takes up to some milliseconds to make; names are case-insensitive, so the number of spellings is bounded here. */
const formatters = new Map<string, Intl.DateTimeFormat>();

const makeFormatter = (zone: string): Intl.DateTimeFormat | undefined => {
  // Newer runtimes take `+05:30` too; a budget must not depend on the runtime that reads it.
  if (!/^[a-z]/iu.test(zone)) return undefined;
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
};

const formatterOf = (zone: string): Intl.DateTimeFormat | undefined => {
  const known = formatters.get(zone);
  if (known) return known;
  const made = makeFormatter(zone);
  if (!made) return undefined;
  if (formatters.size >= formattersMax) formatters.clear();
  formatters.set(zone, made);
  return made;
};

/** Whether this is the name of a time zone, such as `Europe/Berlin` or `UTC`; offsets such as `+01:00` are not. */
export const isZone = (zone: string): boolean => formatterOf(zone) !== undefined;

/** What must be added to UTC to get local time at `atMs`: milliseconds, whole seconds. Throws a `Bug` for an unknown zone. */
export const offsetMs = (zone: string, atMs: number): number => {
  const formatter = formatterOf(zone);
  assert(formatter, "a window names an unknown time zone");
  const parts = formatter.formatToParts(atMs);
  const shown = (part: Intl.DateTimeFormatPartTypes): number =>
    Number(parts.find(({ type }) => type === part)?.value);
  const wallMs = Date.UTC(
    shown("year"),
    shown("month") - 1,
    shown("day"),
    shown("hour"),
    shown("minute"),
    shown("second"),
  );
  assert(Number.isSafeInteger(wallMs), "the local time of an instant can't be read");
  return wallMs - Math.floor(atMs / 1000) * 1000;
};

/**
 * The instant in (`fromMs`, `untilMs`] from which on the offset is that of `untilMs`; undefined where both ends have
 * the same offset. The span must be short enough to hold one change at most: since 1967 and up to 2200 no zone
 * has two within 6 days.
 */
export const offsetChangeMs = (zone: string, fromMs: number, untilMs: number): number | undefined => {
  const offset = offsetMs(zone, untilMs);
  if (offsetMs(zone, fromMs) === offset) return undefined;
  let [before, after] = [fromMs, untilMs];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (offsetMs(zone, middle) === offset) after = middle;
    else before = middle;
  }
  return after;
};

/**
 * The first instant at which the wall clock shows `wallMs` or later. A skipped time is reached by the jump over it;
 * of a repeated time the first occurrence counts, so that later walls are never reached earlier.
 */
export const firstInstantMs = (zone: string, wallMs: number): number => {
  // Offsets lie within -12 and +14 hours, so the instant, and any change of offset that matters, is within a day.
  const [fromMs, untilMs] = [wallMs - dayMs, wallMs + dayMs];
  const beforeChange = wallMs - offsetMs(zone, fromMs);
  const changeMs = offsetChangeMs(zone, fromMs, untilMs);
  if (changeMs === undefined || beforeChange < changeMs) return beforeChange;
  return Math.max(changeMs, wallMs - offsetMs(zone, untilMs));
};
