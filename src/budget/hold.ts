/**
 * Holds: consumption reserved at a decision, later settled, released or lapsed. The transitions are pure: what a hold
 * and its lines become, and what moves on the accounts. Every store applies them in one act.
 */
import type { Micros } from "../kit/clock.ts";
import { type Amounts, countedUnits, type HoldState } from "./budget.ts";
import type { Price } from "./prices.ts";

/** A hold's part in one window of one account. `row` is the store's name for the account. */
export type HoldLine = {
  row: number;
  start: Micros;
  unit: string;
  /** Still held there. */
  held: number;
  /** Charged there so far, by a lapse too. */
  charged: number;
  onLapse: "charge" | "release";
};

export type Hold = {
  id: string;
  /** The decision that made it, by entry id. */
  decision: string;
  caller: string;
  state: HoldState;
  createdAt: Micros;
  expiresAt: Micros;
  /** What was reserved, with top-ups. */
  amounts: Amounts;
  /** What was settled so far; captures add up. */
  settled: Amounts;
  late: boolean;
  overrun: boolean;
  /** Stopped: it may be settled, but lives no longer, and charges when it lapses. */
  frozen?: boolean;
  price?: Price;
  run?: string;
  lines: HoldLine[];
};

export type LineMove = { row: number; start: Micros; unit: string; used: number; held: number };

export type Transition = {
  hold: Hold;
  moves: LineMove[];
  /** By unit, what was used more (or less) than before. */ used: Amounts;
};

/** Why a hold can't be changed as asked; nothing was changed. */
export type Refused = { refused: "finished" | "counted_unit"; detail: string };

const closed = (lines: readonly HoldLine[]): HoldLine[] => lines.map((line) => ({ ...line, held: 0 }));

const plus = (a: Amounts, b: Amounts): Amounts => {
  const sum: Amounts = { ...a };
  for (const [unit, amount] of Object.entries(b)) sum[unit] = (sum[unit] ?? 0) + amount;
  return sum;
};

const unitsOf = ({ amounts, lines }: Hold): string[] => [
  ...new Set([...Object.keys(amounts), ...lines.map(({ unit }) => unit)]),
];

/** What of each unit is neither settled nor given back. */
export const openAmount = ({ amounts, settled }: Hold, unit: string): number =>
  Math.max(0, (amounts[unit] ?? 0) - (settled[unit] ?? 0));

const changed = (before: Hold, after: Hold): LineMove[] =>
  after.lines.flatMap((line, position): LineMove[] => {
    const old = before.lines[position]!;
    const move = {
      row: line.row,
      start: line.start,
      unit: line.unit,
      used: line.charged - old.charged,
      held: line.held - old.held,
    };
    return move.used === 0 && move.held === 0 ? [] : [move];
  });

/**
 * Settles what was really consumed. Amounts of several captures add up; the last one, `final`, gives the rest back. A unit
 * that it leaves out counts as consumed in full: what nobody reported is never free. More than was held is recorded as
 * it is (the provider has billed it already). After a lapse the truth replaces what was charged.
 */
export const settleHold = (hold: Hold, amounts: Amounts, final: boolean): Transition | Refused => {
  if (hold.state === "settled" || hold.state === "released")
    return { refused: "finished", detail: `the hold is ${hold.state}` };
  const counted = Object.keys(amounts).find((unit) => countedUnits.has(unit));
  if (counted !== undefined)
    return { refused: "counted_unit", detail: `\`${counted}\` was counted with the decision` };
  const late = hold.state === "lapsed";
  // What comes after a lapse is the last word, whatever it calls itself.
  const last = final || late;
  const reported: Amounts = {};
  for (const unit of new Set([...unitsOf(hold), ...Object.keys(amounts)])) {
    if (countedUnits.has(unit)) continue;
    // What was in flight is in flight no longer; nothing of it is used up.
    const rest = unit === "concurrent" || !last ? 0 : openAmount(hold, unit);
    const amount = unit === "concurrent" ? 0 : (amounts[unit] ?? rest);
    if (amount > 0 || unit in amounts) reported[unit] = amount;
  }
  const settled = plus(hold.settled, reported);
  const lines = hold.lines.map((line): HoldLine => {
    const total = settled[line.unit] ?? 0;
    if (line.unit === "concurrent") return last ? { ...line, held: 0 } : line;
    if (last) return { ...line, held: 0, charged: total };
    return { ...line, charged: total, held: Math.max(0, (hold.amounts[line.unit] ?? line.held) - total) };
  });
  const overrun = unitsOf(hold).some((unit) => (settled[unit] ?? 0) > (hold.amounts[unit] ?? 0));
  const after: Hold = {
    ...hold,
    lines,
    settled,
    late: hold.late || late,
    overrun: hold.overrun || overrun,
    state: last ? "settled" : "open",
  };
  return { hold: after, moves: changed(hold, after), used: usedBy(hold, after) };
};

/** What a lapse had charged of a unit, whatever the accounts: the most that any line was charged. */
const chargedOf = (hold: Hold, unit: string): number =>
  hold.state === "lapsed" && lapseCharges(hold, unit)
    ? Math.max(hold.settled[unit] ?? 0, hold.amounts[unit] ?? 0)
    : (hold.settled[unit] ?? 0);

/** What of a unit a hold stands for: settled, charged by a lapse, or still held. */
export const standingAmount = (hold: Hold, unit: string): number =>
  hold.state === "open" ? (hold.settled[unit] ?? 0) + openAmount(hold, unit) : chargedOf(hold, unit);

const lapseCharges = (hold: Hold, unit: string): boolean => {
  const lines = hold.lines.filter((line) => line.unit === unit);
  return unit !== "concurrent" && (lines.length === 0 || lines.some(({ onLapse }) => onLapse === "charge"));
};

const usedBy = (before: Hold, after: Hold): Amounts => {
  const used: Amounts = {};
  for (const unit of new Set([...unitsOf(before), ...Object.keys(after.settled)])) {
    const more = chargedOf(after, unit) - chargedOf(before, unit);
    if (more !== 0 && !countedUnits.has(unit)) used[unit] = more;
  }
  return used;
};

/** Gives back what is held: nothing was sent, or nothing more will be. After a lapse what was charged is given back. */
export const releaseHold = (hold: Hold): Transition | Refused => {
  if (hold.state === "settled" || hold.state === "released")
    return { refused: "finished", detail: `the hold is ${hold.state}` };
  const late = hold.state === "lapsed";
  const lines = hold.lines.map((line) => ({ ...line, held: 0, charged: hold.settled[line.unit] ?? 0 }));
  const after: Hold = { ...hold, lines, late: hold.late || late, state: "released" };
  return { hold: after, moves: changed(hold, after), used: usedBy(hold, after) };
};

/** Nobody settled in time: each line is charged or given back, as its budget says. */
export const lapseHold = (hold: Hold): Transition => {
  const lines = closed(hold.lines).map((line, position): HoldLine => {
    const { held } = hold.lines[position]!;
    return line.onLapse === "charge" ? { ...line, charged: line.charged + held } : line;
  });
  const after: Hold = { ...hold, lines, state: "lapsed" };
  return { hold: after, moves: changed(hold, after), used: usedBy(hold, after) };
};

/**
 * Lets a hold live until `expiresAt`, where that is later than it would, and tops it up; the caller of this has admitted
 * the amounts.
 */
export const extendHold = (hold: Hold, expiresAt: Micros, amounts: Amounts): Transition | Refused => {
  if (hold.state !== "open") return { refused: "finished", detail: `the hold is ${hold.state}` };
  const counted = Object.keys(amounts).find((unit) => countedUnits.has(unit));
  if (counted !== undefined)
    return { refused: "counted_unit", detail: `\`${counted}\` is counted with a decision, not held` };
  const lines = hold.lines.map((line) => ({ ...line, held: line.held + (amounts[line.unit] ?? 0) }));
  // Where more was captured than was held, more is held on top of that: it isn't used up before it is asked for.
  const captured = Object.keys(amounts).map((unit): [string, number] => [
    unit,
    Math.max(hold.amounts[unit] ?? 0, hold.settled[unit] ?? 0),
  ]);
  const held = { ...hold.amounts, ...Object.fromEntries(captured) };
  const after: Hold = {
    ...hold,
    lines,
    expiresAt: Math.max(hold.expiresAt, expiresAt),
    amounts: plus(held, amounts),
  };
  return { hold: after, moves: changed(hold, after), used: {} };
};

/** What becomes of an open hold whose agent is stopped: what was under way is charged unless its caller settles it. */
export const freezeHold = (hold: Hold): Transition => ({
  hold: {
    ...hold,
    frozen: true,
    lines: hold.lines.map((line) => (line.unit === "concurrent" ? line : { ...line, onLapse: "charge" })),
  },
  moves: [],
  used: {},
});
