/** Windows at the dates known to be hard, rolling windows, and what is refused. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isoMicros, type Micros } from "../kit/clock.ts";
import {
  type CalendarUnit,
  type CalendarWindow,
  countedFrom,
  isZone,
  type Period,
  periodAt,
  resetsAt,
  type Weekday,
  type Window,
} from "./window.ts";

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

test.each([
  ["Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", 23],
  ["Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", 25],
  ["America/New_York", "2026-03-08T18:00:00Z", "2026-03-08T05:00:00Z", 23],
  ["America/New_York", "2026-11-01T18:00:00Z", "2026-11-01T04:00:00Z", 25],
  // Midnight skipped: Santiago, Havana, Gaza (at 00:01), Tehran. Midnight repeated: Havana; 23 o'clock repeated: Santiago, Tehran.
  ["America/Santiago", "2026-09-06T18:00:00Z", "2026-09-06T04:00:00Z", 23],
  ["America/Santiago", "2026-04-04T18:00:00Z", "2026-04-04T03:00:00Z", 25],
  ["America/Santiago", "2026-04-05T03:59:59.999Z", "2026-04-04T03:00:00Z", 25],
  ["America/Havana", "2026-03-08T18:00:00Z", "2026-03-08T05:00:00Z", 23],
  ["America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", 25],
  ["America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", 25],
  ["Asia/Gaza", "2010-03-26T22:01:00Z", "2010-03-26T22:00:00Z", 23],
  ["Asia/Gaza", "2026-10-24T10:00:00Z", "2026-10-23T21:00:00Z", 25],
  ["Asia/Tehran", "2022-03-22T10:00:00Z", "2022-03-21T20:30:00Z", 23],
  ["Asia/Tehran", "2022-09-21T10:00:00Z", "2022-09-20T19:30:00Z", 25],
  ["Asia/Tehran", "2026-11-24T10:00:00Z", "2026-11-23T20:30:00Z", 24],
  // Set back at 00:01: the hour before midnight returns, and stays in the day that had begun.
  ["America/St_Johns", "2009-11-01T02:30:59Z", "2009-11-01T02:30:00Z", 25],
  ["America/St_Johns", "2009-11-01T02:31:00Z", "2009-11-01T02:30:00Z", 25],
  ["America/St_Johns", "2009-11-01T02:29:59.999Z", "2009-10-31T02:30:00Z", 24],
  ["Asia/Shanghai", "2026-11-24T10:00:00Z", "2026-11-23T16:00:00Z", 24],
  ["Asia/Shanghai", "1986-05-04T10:00:00Z", "1986-05-03T16:00:00Z", 23],
  ["Asia/Kolkata", "2026-11-24T10:00:00Z", "2026-11-23T18:30:00Z", 24],
  ["Asia/Kathmandu", "1986-01-01T10:00:00Z", "1985-12-31T18:30:00Z", 23.75],
  ["Asia/Kathmandu", "2026-11-24T10:00:00Z", "2026-11-23T18:15:00Z", 24],
  ["Australia/Lord_Howe", "2026-10-04T10:00:00Z", "2026-10-03T13:30:00Z", 23.5],
  ["Australia/Lord_Howe", "2026-04-05T10:00:00Z", "2026-04-04T13:00:00Z", 24.5],
  ["Pacific/Chatham", "2026-09-27T10:00:00Z", "2026-09-26T11:15:00Z", 23],
  ["Pacific/Chatham", "2026-04-05T10:00:00Z", "2026-04-04T10:15:00Z", 25],
  ["Pacific/Apia", "2011-12-30T09:59:59.999Z", "2011-12-29T10:00:00Z", 24],
  ["Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 24],
  ["Pacific/Kiritimati", "1994-12-31T10:00:00Z", "1994-12-31T10:00:00Z", 24],
  ["Africa/Casablanca", "2026-02-15T10:00:00Z", "2026-02-14T23:00:00Z", 25],
  ["Africa/Casablanca", "2026-03-22T10:00:00Z", "2026-03-22T00:00:00Z", 23],
  // An offset of 44 minutes and 30 seconds, given up for none.
  ["Africa/Monrovia", "1972-01-06T10:00:00Z", "1972-01-06T00:44:30Z", 24],
  ["Africa/Monrovia", "1972-01-07T10:00:00Z", "1972-01-07T00:44:30Z", 23 + 15.5 / 60],
  ["UTC", "2026-11-24T10:00:00Z", "2026-11-24T00:00:00Z", 24],
] as const)("F9: the day in %s at %s begins at %s and has %d hours", (zone, instant, start, hours) => {
  expect(periodAt(calendar("day", zone), at(instant))).toEqual({
    start: at(start),
    end: at(start) + hours * hour,
  });
});

test("F9: months, quarters and years have the days of the calendar, leap years included", () => {
  const daysOf = (every: CalendarUnit, instant: string): number => {
    const { start, end } = bounded(calendar(every), at(instant));
    return (end - start) / day;
  };
  const monthsOf2026 = Array.from({ length: 12 }, (_, month) =>
    daysOf("month", `2026-${String(month + 1).padStart(2, "0")}-15T10:00:00Z`),
  );
  expect(monthsOf2026).toEqual([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
  expect(["2024", "2100", "2000"].map((year) => daysOf("month", `${year}-02-10T00:00:00Z`))).toEqual([
    29, 28, 29,
  ]);
  expect(["01", "06", "07", "12"].map((month) => daysOf("quarter", `2026-${month}-30T00:00:00Z`))).toEqual([
    90, 91, 92, 92,
  ]);
  expect(["2024", "2026"].map((year) => daysOf("year", `${year}-07-01T00:00:00Z`))).toEqual([366, 365]);
});

test("F9: a month in Berlin begins and ends at its own midnights, an hour longer where it has the change in autumn", () => {
  const start = at("2026-09-30T22:00:00Z");
  expect(periodAt(calendar("month", "Europe/Berlin"), at("2026-10-31T22:59:59.999Z"))).toEqual({
    start,
    end: start + 31 * day + hour,
  });
});

test.each([
  [1, "2026-11-23"],
  [2, "2026-11-24"],
  [3, "2026-11-18"],
  [4, "2026-11-19"],
  [5, "2026-11-20"],
  [6, "2026-11-21"],
  [7, "2026-11-22"],
] as const)(
  "F9: the week of Tuesday 2026-11-24 that starts on weekday %d starts on %s",
  (weekStart, date) => {
    const start = at(`${date}T00:00:00Z`);
    expect(periodAt(calendar("week", "UTC", weekStart), at("2026-11-24T00:00:00Z"))).toEqual({
      start,
      end: start + 7 * day,
    });
  },
);

test("F9: Apia's week that should have begun on the Friday it skipped begins on Saturday and has six days", () => {
  const start = at("2011-12-30T10:00:00Z");
  expect(periodAt(calendar("week", "Pacific/Apia", 5), at("2012-01-01T00:00:00Z"))).toEqual({
    start,
    end: start + 6 * day,
  });
});

test("F9: November 2009 in St. John's keeps the hour of October that came back after it had begun", () => {
  const start = at("2009-11-01T02:30:00Z");
  expect(periodAt(calendar("month", "America/St_Johns"), start - 1).end).toBe(start);
  expect(periodAt(calendar("month", "America/St_Johns"), at("2009-11-01T03:00:00Z")).start).toBe(start);
});

test("F9: a repeated hour is a period of its own, and a change within an hour cuts it", () => {
  const starts = (zone: string, from: string, hours: number): string[] => {
    const found = new Set<Micros>();
    for (let minute = 0; minute < hours * 60; minute++) {
      found.add(periodAt(calendar("hour", zone), at(from) + minute * 60 * second).start);
    }
    return [...found].map((start) => isoMicros(start).slice(11, 16));
  };
  expect(starts("Europe/Berlin", "2026-10-25T00:00:00Z", 3)).toEqual(["00:00", "01:00", "02:00"]);
  // 01:00 to 02:00, then half an hour from 01:30 again.
  expect(starts("Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3)).toEqual([
    "14:00",
    "15:00",
    "15:30",
    "16:30",
  ]);
  expect(starts("Asia/Kathmandu", "2026-11-24T00:15:00Z", 2)).toEqual(["00:15", "01:15"]);
});

test("F8: at a boundary the balance is another row at once, and whoever asks for the time before it gets the old one", () => {
  const window = calendar("day", "Europe/Berlin");
  const midnight = at("2026-11-23T23:00:00Z");
  const order = [midnight, midnight - 1, midnight + 1, midnight - 2, midnight];
  expect(order.map((instant) => periodAt(window, instant).start)).toEqual(
    [0, -day, 0, -day, 0].map((away) => midnight + away),
  );
  expect(resetsAt(window, midnight - 1)).toBe(midnight);
  expect(countedFrom(window, midnight - 1)).toBe(midnight - day);
});

test("a lifetime has one period without end, and never resets", () => {
  const window: Window = { kind: "lifetime" };
  expect(periodAt(window, at("2026-11-24T10:00:00Z"))).toEqual({ start: 0 });
  expect(countedFrom(window, at("2026-11-24T10:00:00Z"))).toBe(0);
  expect(resetsAt(window, at("2026-11-24T10:00:00Z"))).toBeUndefined();
});

/** A rolling window, and an instant no earlier than its length after the epoch. */
const rollingAndInstant = fc
  .tuple(
    fc.integer({ min: 1, max: 7 * 86_400_000 }),
    fc.integer({ min: 1, max: 60 }),
    fc.nat(4_000_000_000_000_000),
  )
  .map(([widthMs, buckets, later]) => {
    const window = { kind: "rolling" as const, lengthMs: widthMs * buckets, buckets };
    return {
      window,
      length: window.lengthMs * 1000,
      width: widthMs * 1000,
      instant: window.lengthMs * 1000 + later,
    };
  });

test("F9: buckets of a rolling window tile time, each as wide as its part of the length", () => {
  fc.assert(
    fc.property(rollingAndInstant, ({ window, width, instant }) => {
      const { start, end } = bounded(window, instant);
      expect(end - start).toBe(width);
      expect(start <= instant && instant < end).toBe(true);
      expect(periodAt(window, end - 1)).toEqual({ start, end });
      expect(periodAt(window, end).start).toBe(end);
    }),
  );
});

test("F9: a rolling window counts all consumption as old as its length and none older by a bucket's width", () => {
  const aged = rollingAndInstant.chain((rolling) =>
    fc.tuple(fc.constant(rolling), fc.integer({ min: 0, max: rolling.length })),
  );
  fc.assert(
    fc.property(aged, ([{ window, length, width, instant }, age]) => {
      const isCounted = (spentAt: Micros): boolean =>
        periodAt(window, spentAt).start >= countedFrom(window, instant);
      expect(isCounted(instant - age)).toBe(true);
      expect(isCounted(instant - length)).toBe(true);
      if (instant >= length + width) expect(isCounted(instant - length - width)).toBe(false);
      expect(periodAt(window, countedFrom(window, instant)).start).toBe(countedFrom(window, instant));
    }),
  );
});

test("F9: what a rolling window admits never exceeds its limit within any stretch of its length", () => {
  const window: Window = { kind: "rolling", lengthMs: 12, buckets: 4 };
  const spends = fc.array(fc.record({ after: fc.nat(8000), amount: fc.integer({ min: 1, max: 5 }) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(spends, fc.integer({ min: 5, max: 12 }), (asked, limit) => {
      const buckets = new Map<Micros, number>();
      const admitted: { at: Micros; amount: number }[] = [];
      let now = 1_000_000;
      for (const { after, amount } of asked) {
        now += after;
        const from = countedFrom(window, now);
        const used = [...buckets].reduce((sum, [start, spent]) => sum + (start >= from ? spent : 0), 0);
        if (used + amount > limit) continue;
        const { start } = periodAt(window, now);
        buckets.set(start, (buckets.get(start) ?? 0) + amount);
        admitted.push({ at: now, amount });
        const within = admitted.filter((spend) => spend.at >= now - window.lengthMs * 1000);
        expect(within.reduce((sum, spend) => sum + spend.amount, 0)).toBeLessThanOrEqual(limit);
      }
    }),
  );
});

test("F9: a bucket counts until the very instant at which a rolling window says that it leaves", () => {
  const bucketOf = rollingAndInstant.chain((rolling) =>
    fc.tuple(fc.constant(rolling), fc.integer({ min: 0, max: rolling.length })),
  );
  fc.assert(
    fc.property(bucketOf, ([{ window, instant, length, width }, age]) => {
      const bucket = periodAt(window, instant - age).start;
      const leaves = resetsAt(window, instant, bucket)!;
      expect(leaves).toBeGreaterThan(instant);
      expect(countedFrom(window, leaves - 1)).toBeLessThanOrEqual(bucket);
      expect(countedFrom(window, leaves)).toBeGreaterThan(bucket);
      // Without a bucket named, the next to leave is the oldest counted; one that has left already says nothing.
      const first = resetsAt(window, instant)!;
      expect(first).toBe(resetsAt(window, instant, countedFrom(window, instant)));
      expect(first).toBe(resetsAt(window, instant, bucket - length - width));
    }),
  );
});

test("names of time zones are known, in any case of letters; offsets and inventions are not", () => {
  expect(["UTC", "Europe/Berlin", "europe/berlin", "Etc/GMT+5"].every(isZone)).toBe(true);
  for (const name of [
    "",
    "+01:00",
    "-0500",
    "Mars/Olympus",
    "Europe/Berlin ",
    " UTC",
    "Europe\u0000/Berlin",
  ]) {
    expect([name, isZone(name)]).toEqual([name, false]);
  }
});

test("an instant outside the years 1970 to 2199, an unknown zone and uneven buckets are faults of ours", () => {
  const utc = calendar("day");
  for (const instant of [-1, Number.NaN, 1.5, at("2200-01-01T00:00:00Z"), Number.MAX_SAFE_INTEGER + 1]) {
    for (const window of [
      utc,
      { kind: "lifetime" },
      { kind: "rolling", lengthMs: 1000, buckets: 10 },
    ] as const) {
      expect(() => periodAt(window, instant)).toThrow("an instant is outside the years 1970 to 2199");
    }
  }
  expect(periodAt(utc, at("2200-01-01T00:00:00Z") - 1).end).toBe(at("2200-01-01T00:00:00Z"));
  expect(() => periodAt(calendar("day", "Mars/Olympus"), 0)).toThrow("unknown time zone");
  for (const [lengthMs, buckets] of [
    [1000, 3],
    [1000, 0],
    [10, 20],
    [0, 1],
    [-1000, 10],
    [-1000, -10],
    [2.5, 1],
    [10, -10],
  ] as const) {
    expect(() => periodAt({ kind: "rolling", lengthMs, buckets }, 0)).toThrow("whole number of milliseconds");
  }
});
