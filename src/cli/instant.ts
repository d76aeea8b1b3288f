/** Instants and places in the ledger as people write them on a command line. */
import { InvalidArgumentError } from "commander";

const units = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

const isoPattern = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d))?$/;

const parseIso = (text: string): number => {
  const match = isoPattern.exec(text);
  if (!match) return Number.NaN;
  const [, date, time = "00:00:00", fraction = "", zone = "Z"] = match;
  // A day that its month doesn't have would otherwise run over into the next one.
  const day = new Date(`${date}T00:00:00Z`);
  if (Number.isNaN(day.getTime()) || !day.toISOString().startsWith(date!)) return Number.NaN;
  return Date.parse(`${date}T${time}${zone}`) * 1000 + Number(fraction.padEnd(6, "0"));
};

/** RFC 3339, a date (UTC), or how long ago (`90s`, `15m`, `24h`, `7d`); in microseconds. */
export const parseInstant = (text: string, now: number = Date.now()): number => {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  const unit = Object.entries(units).find(([name]) => name === ago?.[2])?.[1];
  const at = ago && unit !== undefined ? (now - Number(ago[1]) * unit * 1000) * 1000 : parseIso(text);
  if (!Number.isSafeInteger(at) || at < 0)
    throw new InvalidArgumentError("expected RFC 3339, YYYY-MM-DD, or how long ago (90s, 15m, 24h, 7d)");
  return at;
};

/** RFC 3339, or a date (UTC), in the past or to come; in microseconds. */
export const parseMoment = (text: string): number => {
  const at = parseIso(text);
  if (!Number.isSafeInteger(at) || at < 0) throw new InvalidArgumentError("expected RFC 3339 or YYYY-MM-DD");
  return at;
};

/** An index of the ledger. */
export const parseIndex = (text: string): number => {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("expected an index");
  return Number(text);
};
