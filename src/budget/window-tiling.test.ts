/** Periods of calendar windows in many zones, against a second opinion of local time: they tile time, and begin when the wall clock says so. */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { isoMicros, type Micros } from "../kit/clock.ts";
import {
  type CalendarUnit,
  type CalendarWindow,
  type Period,
  periodAt,
  type Weekday,
  type Window,
} from "./window.ts";

const zones = [
  "Africa/Casablanca",
  "Africa/Monrovia",
  "America/Havana",
  "America/New_York",
  "America/Santiago",
  "America/St_Johns",
  "Asia/Gaza",
  "Asia/Kathmandu",
  "Asia/Kolkata",
  "Asia/Shanghai",
  "Asia/Tehran",
  "Australia/Lord_Howe",
  "Europe/Berlin",
  "Pacific/Apia",
  "Pacific/Chatham",
  "Pacific/Kiritimati",
  "UTC",
] as const;
const weekdays: Weekday[] = [1, 2, 3, 4, 5, 6, 7];
const second = 1_000_000;
const hour = 3600 * second;
const day = 24 * hour;

/** Microseconds of an RFC 3339 time. */
const at = (text: string): Micros => Date.parse(text) * 1000;

const calendar = (every: CalendarUnit, zone = "UTC", weekStart: Weekday = 1): CalendarWindow => ({
  kind: "calendar",
  every,
  zone,
  weekStart,
});

const bounded = (window: Window, instant: Micros): Required<Period> => {
  const { start, end } = periodAt(window, instant);
  if (end === undefined) throw new Error("a period has no end");
  return { start, end };
};

/** A second opinion of local time: another locale, another pattern, and the offset by its name. */
const clockOf = (zone: string): ((instant: Micros) => { date: string; time: string; offset: string }) => {
  const wall = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const named = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
  return (instant) => {
    const ms = Math.floor(instant / 1000);
    const [date = "", time = ""] = wall.format(ms).split(" ");
    return { date, time, offset: named.format(ms).split(" ")[1]! };
  };
};
const clocks = new Map(zones.map((zone) => [zone as string, clockOf(zone)]));

/** The instants at which the zone's offset changes, up to 2040, found with the second opinion. */
const changesOf = (zone: string): Micros[] => {
  const offsetAt = (instant: Micros): string => clocks.get(zone)!(instant).offset;
  const changes: Micros[] = [];
  const step = 5 * day;
  for (let from = 0; from < at("2040-01-01T00:00:00Z"); from += step) {
    let [before, after] = [from, from + step];
    if (offsetAt(before) === offsetAt(after)) continue;
    while (after - before > second) {
      const middle = Math.floor((before + after) / 2 / second) * second;
      if (offsetAt(middle) === offsetAt(after)) after = middle;
      else before = middle;
    }
    changes.push(after);
  }
  return changes;
};
const changes = new Map(zones.map((zone) => [zone as string, changesOf(zone)]));

/** Any instant whose period has ended by 2200, and, as often, one within two hours or two days of a change of the zone's offset. */
const instantIn = (zone: string): fc.Arbitrary<Micros> => {
  const any = fc.integer({ min: 0, max: at("2198-12-30T00:00:00Z") });
  const known = changes.get(zone)!;
  if (known.length === 0) return any;
  const near = (reach: Micros): fc.Arbitrary<Micros> =>
    fc
      .tuple(fc.constantFrom(...known), fc.integer({ min: -reach, max: reach }))
      .map(([change, away]) => Math.max(0, change + away));
  return fc.oneof(any, near(2 * hour), near(2 * day), fc.constantFrom(...known));
};

const calendarWindow = (...units: CalendarUnit[]): fc.Arbitrary<CalendarWindow> =>
  fc
    .tuple(fc.constantFrom(...units), fc.constantFrom(...zones), fc.constantFrom(...weekdays))
    .map(([every, zone, weekStart]) => calendar(every, zone, weekStart));

const windowAndInstant = (...units: CalendarUnit[]): fc.Arbitrary<[CalendarWindow, Micros]> =>
  calendarWindow(...units).chain((window) => fc.tuple(fc.constant(window), instantIn(window.zone)));

const units: CalendarUnit[] = ["minute", "hour", "day", "week", "month", "quarter", "year"];

test("the zones under test change their offsets, so that the properties meet the hard cases", () => {
  expect(changes.get("Europe/Berlin")!.length).toBeGreaterThan(110);
  expect(changes.get("Africa/Casablanca")).toContain(at("2026-02-15T02:00:00Z"));
  expect(changes.get("America/St_Johns")).toContain(at("2009-11-01T02:31:00Z"));
  expect(zones.filter((zone) => changes.get(zone)!.length === 0)).toEqual(["Asia/Kolkata", "UTC"]);
});

test.each(units)("F9: periods of a %s tile time in every zone, without gap or overlap", (every) => {
  fc.assert(
    fc.property(windowAndInstant(every), ([window, instant]) => {
      const { start, end } = bounded(window, instant);
      expect(start <= instant && instant < end).toBe(true);
      expect([start, end].every((bound) => Number.isSafeInteger(bound) && bound % second === 0)).toBe(true);
      expect(periodAt(window, end - 1)).toEqual({ start, end });
      if (start >= 0) expect(periodAt(window, start)).toEqual({ start, end });
      if (start >= 1) expect(periodAt(window, start - 1).end).toBe(start);
      expect(periodAt(window, end).start).toBe(end);
    }),
    { numRuns: 400 },
  );
});

test("F9: in every zone each day from 2009 to 2012 and from 2024 to 2027 has one period, but for the one that Apia skipped", () => {
  for (const zone of zones) {
    for (const [from, until] of [
      ["2009-01-01", "2013-01-01"],
      ["2024-01-01", "2028-01-01"],
    ] as const) {
      const begun: string[] = [];
      let { start, end } = bounded(calendar("day", zone), at(`${from}T12:00:00Z`));
      while (clocks.get(zone)!(start).date < until) {
        begun.push(clocks.get(zone)!(start).date);
        const next = bounded(calendar("day", zone), end);
        if (next.start !== end)
          expect.fail(`${zone}: ${isoMicros(next.start)} does not follow ${isoMicros(end)}`);
        ({ start, end } = next);
      }
      const expected: string[] = [];
      for (let noon = at(`${begun[0]}T12:00:00Z`); isoMicros(noon) < until; noon += day) {
        expected.push(isoMicros(noon).slice(0, 10));
      }
      expect(begun).toEqual(expected.filter((date) => zone !== "Pacific/Apia" || date !== "2011-12-30"));
    }
  }
});

/** Of a window of whole dates: the first date after the window that begins with this date. */
const nextDate = (every: CalendarUnit, date: string): string => {
  const next = new Date(`${date}T00:00:00Z`);
  if (every === "day") next.setUTCDate(next.getUTCDate() + 1);
  else if (every === "week") next.setUTCDate(next.getUTCDate() + 7);
  else next.setUTCMonth(next.getUTCMonth() + { month: 1, quarter: 3, year: 12 }[every as "month"]);
  return next.toISOString().slice(0, 10);
};

const isFirstDate = ({ every, weekStart }: CalendarWindow, date: string): boolean => {
  if (every === "day") return true;
  if (every === "week") return new Date(`${date}T00:00:00Z`).getUTCDay() === weekStart % 7;
  if (every === "month") return date.endsWith("-01");
  if (every === "quarter") return /-(?:01|04|07|10)-01$/u.test(date);
  return date.endsWith("-01-01");
};

test.each(["day", "week", "month", "quarter", "year"] as const)(
  "F9: a %s begins at the first instant that has its first local date, and ends at the first that has the next window's",
  (every) => {
    fc.assert(
      fc.property(windowAndInstant(every), ([window, instant]) => {
        const local = clocks.get(window.zone)!;
        const { start, end } = bounded(window, instant);
        const skipped = { "Pacific/Apia": "2011-12-30", "Pacific/Kiritimati": "1994-12-31" }[window.zone];
        const dateFrom = (bound: Micros): string => {
          const { date } = local(bound);
          const before = skipped === undefined ? "" : nextDate("day", skipped);
          // The window that should begin with a skipped date begins with the one after it.
          return date === before && !isFirstDate(window, date) && isFirstDate(window, skipped!)
            ? skipped!
            : date;
        };
        expect(isFirstDate(window, dateFrom(start))).toBe(true);
        if (every !== "day") expect(dateFrom(end)).toBe(nextDate(every, dateFrom(start)));
        expect(local(start - 1).date < local(start).date).toBe(true);
        // Two hours on either side, no date returns to the earlier window once the later has begun, but by a clock set back over midnight.
        expect(local(instant).date >= local(start).date || instant - start < 2 * hour).toBe(true);
        expect(local(instant).date < local(end).date).toBe(true);
      }),
      { numRuns: 400 },
    );
  },
);

test.each([
  ["hour", 2],
  ["minute", 5],
] as const)(
  "F9: a %s is the longest run of instants with one local time down to it, and one offset",
  (every, digits) => {
    fc.assert(
      fc.property(windowAndInstant(every), ([window, instant]) => {
        const shown = (of: Micros): string => {
          const { date, time, offset } = clocks.get(window.zone)!(of);
          return `${date} ${time.slice(0, digits)} ${offset}`;
        };
        const { start, end } = bounded(window, instant);
        expect([shown(start), shown(end - 1)]).toEqual([shown(instant), shown(instant)]);
        expect(shown(start - 1)).not.toBe(shown(instant));
        expect(shown(end)).not.toBe(shown(instant));
        expect(end - start).toBeLessThanOrEqual(every === "hour" ? hour : hour / 60);
      }),
      { numRuns: 400 },
    );
  },
);

test("F8: a period depends on the instant alone, not on what was asked before or by whom", async () => {
  vi.resetModules();
  const elsewhere = await import("./window.ts");
  expect(elsewhere.periodAt).not.toBe(periodAt);
  const questions = calendarWindow(...units).chain((window) =>
    fc.tuple(fc.constant(window), fc.array(instantIn(window.zone), { minLength: 12, maxLength: 20 })),
  );
  fc.assert(
    fc.property(questions, ([window, instants]) => {
      const here = instants.map((instant) => periodAt(window, instant));
      const backwards = instants.toReversed().map((instant) => elsewhere.periodAt(window, instant));
      expect(backwards.toReversed()).toEqual(here);
      expect(instants.map((instant) => periodAt({ ...window }, instant))).toEqual(here);
    }),
  );
});
