/** The one source of time: microseconds since the epoch that never run backwards within a process. */

/** Microseconds since 1970-01-01T00:00:00Z, a safe integer until the year 2255. */
export type Micros = number;

export type Clock = () => Micros;

/**
 * A clock over `Date` and `performance`: finer than a millisecond, and no reading is below an earlier one. `skew` is how far the
 * clock that counts is ahead of this machine's.
 */
export const systemClock = (skew: () => Micros = () => 0): Clock => {
  let last = 0;
  return () => {
    const wall = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    // `performance` does not follow corrections of the wall clock; beyond a second apart, the wall clock is right.
    const drifted = Math.abs(wall - Date.now() * 1000) > 1_000_000;
    last = Math.max(last, (drifted ? Date.now() * 1000 : wall) + skew());
    return last;
  };
};

/** RFC 3339 in UTC with six digits of a second. */
export const isoMicros = (at: Micros): string => {
  const millis = Math.floor(at / 1000);
  const micros = String(at - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${micros}Z`;
};
