/** The one source of time: microseconds since the epoch that never run backwards within a process. */

/** Microseconds since 1970-01-01T00:00:00Z, a safe integer until the year 2255. */
export type Micros = number;

export type Clock = () => Micros;

/** A clock of which no reading is below an earlier one, whatever it reads. */
export const forwardClock = (read: () => Micros): Clock => {
  let last = 0;
  return () => (last = Math.max(last, read()));
};

/** A clock over `Date` and `performance`: finer than a millisecond. */
export const systemClock = (): Clock =>
  forwardClock(() => {
    const wall = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    // `performance` does not follow corrections of the wall clock; beyond a second apart, the wall clock is right.
    const drifted = Math.abs(wall - Date.now() * 1000) > 1_000_000;
    return drifted ? Date.now() * 1000 : wall;
  });

/** Microseconds that no correction of the machine's clock moves, the same in all threads of a process. They begin anywhere. */
export const steadyMicros = (): Micros => Number(process.hrtime.bigint() / 1000n);

/** RFC 3339 in UTC with six digits of a second. */
export const isoMicros = (at: Micros): string => {
  const millis = Math.floor(at / 1000);
  const micros = String(at - millis * 1000).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, -1)}${micros}Z`;
};
