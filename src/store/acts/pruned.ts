/** What is said of entries that are no more than hashes. */
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import type { PrunedState } from "./prune.ts";

/** An entry that is no more than a hash. */
export const prunedProblem = (what: string, before: number): Problem =>
  new Problem("pruned", `${what}: entries before ${before} are kept as hashes only, look in their export`);

/** A UUIDv7 tells when it was made. */
const madeAt = (id: string): Micros | undefined =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id)
    ? Number.parseInt(id.replace("-", "").slice(0, 12), 16) * 1000
    : undefined;

/** Of an entry that isn't there. @throws Problem `pruned` where that is why, as far as it can be told */
export const absentAmong = ({ before, latest }: PrunedState, ref: number | string): undefined => {
  if (before === 0) return undefined;
  if (typeof ref === "number" && ref < before) throw prunedProblem(`entry ${ref} was pruned`, before);
  const made = typeof ref === "string" ? madeAt(ref) : undefined;
  if (made !== undefined && made <= latest)
    throw prunedProblem(`if \`${ref}\` was an entry, it was pruned`, before);
  return undefined;
};
