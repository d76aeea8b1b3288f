/** What becomes of holds: settled, released, extended, lapsed; each with its entry, in one act. */
import { alertId } from "../../alert/alert.ts";
import { spanOf } from "../../budget/burn.ts";
import { fitOf } from "../../budget/admit.ts";
import type { Amounts, Budget } from "../../budget/budget.ts";
import {
  extendHold,
  freezeHold,
  lapseHold,
  type LineMove,
  type Refused,
  releaseHold,
  settleHold,
  standingAmount,
  type Transition,
} from "../../budget/hold.ts";
import { amountText } from "../../budget/message.ts";
import { costMicros } from "../../budget/prices.ts";
import type { HoldCommand, HoldView } from "../../budget/store.ts";
import type { UsageReport } from "../../budget/usage.ts";
import { countedFrom } from "../../budget/window.ts";
import { actRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import { applyMoves, type Desk } from "./desk.ts";
import type { KeptHold } from "./holds.ts";
import { replyKeptMicros } from "./replies.ts";

export type Book = ReadonlyMap<string, Budget>;

/** Open holds that someone other than their callers ends. */
export type Stopped = { ids: readonly string[]; how: "release" | "freeze"; at: Micros; caller: string };

export type HoldActs = {
  change: (desk: Desk, book: Book, command: HoldCommand) => HoldView;
  /** Releases or freezes open holds, each with its entry. */
  stop: (desk: Desk, book: Book, stopped: Stopped) => void;
  /** Lapses holds whose time is over; how many there were. */
  lapse: (desk: Desk, book: Book, at: Micros) => number;
};

export const viewOf = ({ id, state, expiresAt, amounts, settled, late, overrun }: KeptHold): HoldView => ({
  id,
  state,
  expiresAt,
  amounts,
  settled,
  late,
  overrun,
});

/** What usage comes to: tokens as they are, money by the price of the hold. Without one, money is left to the hold. */
const amountsOfUsage = (hold: KeptHold, usage: UsageReport): { amounts: Amounts; unpriced: boolean } => {
  const input = usage.inputUncached + usage.cachedInput + usage.cacheWrite;
  const tokens = { input_tokens: input, output_tokens: usage.output, tokens: input + usage.output };
  const { price } = hold;
  const named = [usage.model, usage.requestedModel].filter((name) => name !== undefined);
  const mine = price !== undefined && (named.length === 0 || named.includes(price.model));
  const micros = mine ? costMicros(price, usage) : "overflow";
  return micros === "overflow"
    ? { amounts: tokens, unpriced: true }
    : { amounts: { ...tokens, usd_micros: micros }, unpriced: false };
};

const conflict = (detail: string): Problem => new Problem("conflict", detail, { field: "hold" });

const accepted = (transition: Transition | Refused): Transition => {
  if (!("refused" in transition)) return transition;
  if (transition.refused === "finished") throw conflict(transition.detail);
  throw new Problem("invalid_request", transition.detail, { field: "amounts" });
};

/**
 * What counts beside a hold in the window it was made in. Of a rolling window that is everything which ever shares one
 * with it, up to now: more than any one window holds, never less.
 */
const besides = (
  desk: Desk,
  { window }: Budget,
  row: number,
  start: Micros,
): { used: number; held: number } =>
  window.kind === "rolling"
    ? desk.accounts.balance(row, countedFrom(window, start))
    : desk.accounts.balance(row, start, start);

/** Whether more fits on every account of the hold, in the windows it was made in. */
const admitTopUp = (desk: Desk, book: Book, hold: KeptHold, amounts: Amounts, at: Micros): void => {
  const balances = hold.lines.flatMap(({ row, start, unit }) => {
    const { budget: id, account } = desk.accounts.name(row);
    const budget = book.get(id);
    const amount = amounts[unit] ?? 0;
    if (!budget || amount === 0) return [];
    const limit = budget.limit + desk.accounts.granted(id, account, at);
    const balance = besides(desk, budget, row, start);
    return [{ budget: id, account, unit, mode: budget.mode, limit, ...balance, amount, as: "hold" as const }];
  });
  const fit = fitOf(balances);
  if (!fit.fits) {
    const { budget, account } = fit.breaches[0]!.balance;
    throw conflict(`${fit.reason}: the budget \`${budget}\` of \`${account}\` doesn't allow so much more`);
  }
};

/** Whether those whose hold it is may act: more is held for nobody who was stopped, or has expired, meanwhile. */
const admitActing = (
  desk: Desk,
  { agents, dimensions, run }: KeptHold,
  { at, stopped }: Extract<HoldCommand, { verb: "extend" }>,
): void => {
  if (stopped) throw conflict(`${stopped.reason}: no more is held for \`${stopped.agent}\``);
  const named = new Set([...agents, ...(dimensions.agent === undefined ? [] : [dimensions.agent])]);
  for (const agent of named) {
    const standing = desk.agents.standing(agent, at);
    if (standing !== "clear") throw conflict(`${standing}: no more is held for \`${agent}\``);
  }
  const runs = run === undefined ? [] : desk.runs.lineage(run);
  const kill = desk.kills.standing().find(({ target: { kind, value } }) => {
    if (kind === "all") return named.size > 0;
    return kind === "agent" ? named.has(value) : kind === "run" && runs.includes(value);
  });
  if (kill) throw conflict(`agent_suspended: stopped by \`${kill.id}\`, no more is held`);
};

/** Whether the run may spend that much more. */
const admitInRun = (
  desk: Desk,
  { run }: KeptHold,
  { amounts, runUsdMicrosMax, at }: Extract<HoldCommand, { verb: "extend" }>,
): void => {
  const micros = amounts["usd_micros"] ?? 0;
  if (run === undefined || runUsdMicrosMax === undefined || micros === 0) return;
  const wanted = desk.runs.state(run, at).usdMicros + micros;
  if (wanted > runUsdMicrosMax)
    throw conflict(
      `runaway_limit: the run may have at most ${runUsdMicrosMax} usd_micros, this would be ${wanted}`,
    );
};

/** Alerts of what has been used by these moves. */
const tellCrossings = (desk: Desk, book: Book, moves: readonly LineMove[], at: Micros): void => {
  for (const { row, start, used, unit } of moves) {
    if (used <= 0) continue;
    const { budget: id, account } = desk.accounts.name(row);
    const budget = book.get(id);
    if (!budget) continue;
    const limit = budget.limit + desk.accounts.granted(id, account, at);
    // A rolling window is the one that ends now; any other the one of the hold.
    const { used: now } =
      budget.window.kind === "rolling"
        ? desk.accounts.balance(row, countedFrom(budget.window, at))
        : desk.accounts.balance(row, start, start);
    const span = spanOf(budget.window, at);
    desk.told.crossed({
      row,
      budget: id,
      account,
      unit,
      start,
      limit,
      used: now,
      alerts: budget.alerts,
      at,
      more: used,
      ...(span === undefined ? {} : { spanMicros: span }),
    });
  }
};

const tellOverrun = (desk: Desk, before: KeptHold, after: Transition["hold"], at: Micros): void => {
  if (!after.overrun || before.overrun) return;
  const over = Object.entries(after.settled).filter(([unit, amount]) => amount > (after.amounts[unit] ?? 0));
  const text = over.map(
    ([unit, amount]) => `${amountText(amount, unit)} of ${amountText(after.amounts[unit] ?? 0, unit)} held`,
  );
  desk.told.tell({
    id: alertId("budget.overrun", [after.id]),
    type: "budget.overrun",
    at,
    severity: "critical",
    title: "more was consumed than was held",
    text: `${before.dimensions.agent ?? "A caller"} settled ${text.join(", ")}.`,
    data: { decision: after.decision, amounts: after.amounts, settled: after.settled },
  });
};

/** Keeps what a hold has become: rows, balances, the run's money, and the entry. */
const keep = (
  desk: Desk,
  book: Book,
  before: KeptHold,
  { hold, moves, used }: Transition,
  entry: { id: string; at: Micros; kind: EntryKind; caller: string; detail: JsonObject },
): KeptHold => {
  desk.holds.update(hold);
  const named = applyMoves(desk, moves);
  if (before.run !== undefined) {
    // A run's money is what is used and held: a settlement moves it by what it differs from the hold.
    const change = standingAmount(hold, "usd_micros") - standingAmount(before, "usd_micros");
    desk.runs.count(before.run, 0, change);
  }
  const { id, at, kind, caller, detail } = entry;
  const index = desk.append.entry({
    id,
    at,
    kind,
    record: (names, commitment) =>
      actRecord(names, {
        kind,
        id,
        at,
        caller,
        detail: commitment,
        moves: named,
        facts: {
          decision: before.decision,
          state: hold.state,
          amounts: hold.amounts,
          settled: hold.settled,
          ...(hold.late ? { late: true } : {}),
          ...(hold.overrun ? { overrun: true } : {}),
          ...(hold.frozen ? { frozen: true } : {}),
        },
      }),
    body: JSON.stringify(detail),
    agents: before.agents,
  });
  const run = before.run === undefined ? {} : { run: before.run };
  desk.consumed(index, at, used, { ...before.dimensions, ...run });
  tellCrossings(desk, book, moves, at);
  tellOverrun(desk, before, hold, at);
  return { ...before, ...hold };
};

const transitionOf = (desk: Desk, book: Book, hold: KeptHold, command: HoldCommand): Transition => {
  switch (command.verb) {
    case "settle": {
      const priced = command.usage
        ? amountsOfUsage(hold, command.usage)
        : { amounts: command.amounts ?? {}, unpriced: false };
      if (priced.unpriced && hold.lines.some(({ unit }) => unit === "usd_micros"))
        desk.told.tell({
          id: alertId("usage.unpriced", [hold.id]),
          type: "usage.unpriced",
          at: command.at,
          severity: "warning",
          title: "usage without a price",
          text: "What was reported can't be priced, so what was held is charged.",
          data: { decision: hold.decision, model: command.usage?.model ?? null },
        });
      return accepted(settleHold(hold, { ...priced.amounts, ...command.amounts }, command.final));
    }
    case "release":
      return accepted(releaseHold(hold));
    case "extend": {
      if (hold.state !== "open" || hold.expiresAt <= command.at) throw conflict("the hold is no longer open");
      if (hold.frozen) throw conflict("the hold is frozen: it can be settled or released");
      // What is under way may go on, where it wasn't frozen; it may not grow.
      if (Object.keys(command.amounts).length > 0) admitActing(desk, hold, command);
      admitTopUp(desk, book, hold, command.amounts, command.at);
      admitInRun(desk, hold, command);
      return accepted(extendHold(hold, command.at + command.ttlMs * 1000, command.amounts));
    }
  }
};

/** A final settlement that says the same again is the same settlement. */
const isRepeated = (hold: KeptHold, command: HoldCommand): boolean => {
  if (command.verb === "release") return hold.state === "released";
  if (command.verb !== "settle" || hold.state !== "settled" || !command.final) return false;
  const amounts = command.usage ? amountsOfUsage(hold, command.usage).amounts : (command.amounts ?? {});
  return Object.entries(amounts).every(([unit, amount]) => hold.settled[unit] === amount);
};

const lapseOne = (desk: Desk, book: Book, id: string, at: Micros): void => {
  const hold = desk.holds.find(id)!;
  const transition = lapseHold(hold);
  // Of a hold that held nothing there is nothing to tell.
  if (transition.moves.length === 0 && Object.keys(hold.amounts).length === 0) {
    desk.holds.update(transition.hold);
    return;
  }
  const entry = {
    id: uuidv7(at),
    at,
    kind: "hold.lapse" as const,
    caller: hold.caller,
    detail: { hold: id },
  };
  keep(desk, book, hold, transition, entry);
};

const stopAll = (desk: Desk, book: Book, { ids, how, at, caller }: Stopped): void => {
  for (const id of ids) {
    const hold = desk.holds.find(id)!;
    const transition = how === "freeze" ? freezeHold(hold) : accepted(releaseHold(hold));
    keep(desk, book, hold, transition, {
      id: uuidv7(at),
      at,
      kind: `hold.${how}`,
      caller,
      detail: { hold: id },
    });
  }
};

/** `warn` hears of holds that can't lapse: each stays as it is, and stands in no other's way. */
export const createHoldActs = (warn: (warning: string) => void): HoldActs => {
  return {
    change: (desk, book, command) => {
      const { idempotency, caller, admin, at, id } = command;
      const known = idempotency && desk.replies.find(command.verb, caller, idempotency.key);
      if (known) {
        if (known.fingerprint === idempotency.fingerprint) return JSON.parse(known.answer) as HoldView;
        throw new Problem("idempotency_mismatch", "the idempotency key was used for another request", {
          field: "idempotency-key",
        });
      }
      const hold = desk.holds.find(command.hold);
      if (!hold || (hold.caller !== caller && !admin))
        throw new Problem("not_found", "there is no such hold", { field: "hold" });
      if (isRepeated(hold, command)) return viewOf(hold);
      const transition = transitionOf(desk, book, hold, command);
      const reason =
        command.verb === "release" && command.reason !== undefined ? { reason: command.reason } : {};
      const after = keep(desk, book, hold, transition, {
        id,
        at,
        kind: `hold.${command.verb}`,
        caller,
        detail: { hold: hold.id, ...reason },
      });
      const view = viewOf(after);
      if (idempotency) desk.replies.keep(command.verb, caller, idempotency, JSON.stringify(view), at);
      return view;
    },
    stop: stopAll,
    lapse: (desk, book, at) => {
      let lapsed = 0;
      for (const id of desk.holds.expired(at, lapsesMax)) {
        try {
          desk.atomically(() => lapseOne(desk, book, id, at));
          lapsed++;
        } catch (error) {
          if (desk.isFatal(error)) throw error;
          warn(`a hold can't lapse: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
      desk.replies.forget(at - replyKeptMicros);
      return lapsed;
    },
  };
};

/** In one act; what is left over comes with the next. */
export const lapsesMax = 200;
