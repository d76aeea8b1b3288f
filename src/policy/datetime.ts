/** Cedar's datetime and duration: milliseconds in 64 bits. */
import { add, fitsLong, type Long, longOf, subtract } from "./long.ts";

/** Milliseconds since 1970 began in UTC. */
export type Datetime = { readonly kind: "datetime"; readonly ms: Long };
export type Duration = { readonly kind: "duration"; readonly ms: Long };

const secondMs = 1000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;

/** How many milliseconds each method of a duration counts in. */
export const durationUnitsMs: Readonly<
  Record<"toMilliseconds" | "toSeconds" | "toMinutes" | "toHours" | "toDays", number>
> = {
  toMilliseconds: 1,
  toSeconds: secondMs,
  toMinutes: minuteMs,
  toHours: hourMs,
  toDays: dayMs,
};

const form = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?(?:Z|([+-])(\d\d)(\d\d)))?$/;

const midnightOf = (year: number, month: number, day: number): number | undefined => {
  // Years below 100 mean themselves only to `setUTCFullYear`.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const same =
    date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return same ? date.getTime() : undefined;
};

/** Reads a date, or a date and time with `Z` or an offset; nothing where the text is neither. */
export const readDatetime = (text: string): Datetime | undefined => {
  const match = form.exec(text);
  if (!match) return undefined;
  const midnight = midnightOf(Number(match[1]), Number(match[2]), Number(match[3]));
  if (midnight === undefined) return undefined;
  const [hour, minute, second, ms] = match.slice(4, 8).map((part) => Number(part ?? 0));
  const [offsetHour, offsetMinute] = match.slice(9, 11).map((part) => Number(part ?? 0));
  if (hour! > 23 || minute! > 59 || second! > 59 || offsetHour! > 23 || offsetMinute! > 59) return undefined;
  const offset = (offsetHour! * hourMs + offsetMinute! * minuteMs) * (match[8] === "-" ? -1 : 1);
  const time = hour! * hourMs + minute! * minuteMs + second! * secondMs + ms!;
  return { kind: "datetime", ms: midnight + time - offset };
};

const spans = /^(-?)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const spanUnitsMs = [dayMs, hourMs, minuteMs, secondMs, 1] as const;

/** Reads `1d2h3m4s5ms`, any of them and at least one, with one sign for all; nothing where the text is none. */
export const readDuration = (text: string): Duration | undefined => {
  const match = spans.exec(text);
  if (!match || !/\d/.test(text)) return undefined;
  let exact = 0n;
  for (const [position, unitMs] of spanUnitsMs.entries())
    exact += BigInt(match[position + 2] ?? 0) * BigInt(unitMs);
  if (match[1] === "-") exact = -exact;
  return fitsLong(exact) ? { kind: "duration", ms: longOf(exact) } : undefined;
};

/** @throws EvaluationError where the moment exceeds 64 bits */
export const offset = ({ ms }: Datetime, duration: Duration): Datetime => ({
  kind: "datetime",
  ms: add(ms, duration.ms),
});

/** @throws EvaluationError where the span exceeds 64 bits */
export const durationSince = ({ ms }: Datetime, other: Datetime): Duration => ({
  kind: "duration",
  ms: subtract(ms, other.ms),
});

/** What of a day has passed; days before 1970 begin at their midnight too. */
const timeOf = (ms: Long): number => {
  const rest = Number(BigInt(ms) % BigInt(dayMs));
  return rest < 0 ? rest + dayMs : rest;
};

/** The midnight (UTC) that the day began with. @throws EvaluationError where it exceeds 64 bits */
export const toDate = ({ ms }: Datetime): Datetime => ({ kind: "datetime", ms: subtract(ms, timeOf(ms)) });

/** The time since that midnight. */
export const toTime = ({ ms }: Datetime): Duration => ({ kind: "duration", ms: timeOf(ms) });
