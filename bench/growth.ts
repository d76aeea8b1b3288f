/** Whether a service that runs for long grows: what is judged by `npm run soak`. */
import { median } from "./statistics.ts";

/** What was seen in one part of the way. */
export type Slice = { residentMiB: number; descriptors: number; p50Ms: number; p99Ms: number };

/**
 * By how much the last three parts may stand above the middle ones. In the first ones caches fill and code is still being
 * optimised; times of a shared machine scatter, most of all the worst.
 */
const allowed: Record<keyof Slice, number> = { residentMiB: 1.2, descriptors: 1, p50Ms: 1.5, p99Ms: 2 };

/** Fewer would compare parts with themselves. */
const slicesMin = 9;

/** What grew, in sentences; none where nothing did. @throws Error where there are too few parts to tell */
export const growthIn = (slices: readonly Slice[]): string[] => {
  if (slices.length < slicesMin) throw new Error(`growth can't be told from ${slices.length} parts`);
  const middle = Math.floor(slices.length / 3);
  const medianOf = (name: keyof Slice, from: number): number =>
    median(slices.slice(from, from + 3).map((slice) => slice[name]));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has no keys but these
  return (Object.keys(allowed) as (keyof Slice)[]).flatMap((name) => {
    const [before, after] = [medianOf(name, middle), medianOf(name, slices.length - 3)];
    return after <= before * allowed[name]
      ? []
      : [`${name} went from ${before} to ${after}, more than ${allowed[name]} times`];
  });
};
