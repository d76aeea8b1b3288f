/** What changes accounts without a decision: reported usage, grants, corrections; each with its entry, in one act. */
import type {
  AccountView,
  AdjustCommand,
  Commanded,
  Grant,
  GrantCommand,
  UsageCommand,
  UsageView,
} from "../../budget/store.ts";
import { actRecord } from "../../decision/record.ts";
import type { JsonObject } from "../../kit/json.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import { accountViewOf } from "./account-views.ts";
import type { Move, NamedMove } from "./accounts.ts";
import { applyMoves, type Desk } from "./desk.ts";
import type { Book } from "./hold-acts.ts";
import type { Endpoint } from "./replies.ts";
import type { Budget } from "../../budget/budget.ts";
import { countedFrom, periodAt } from "../../budget/window.ts";

/** Usage that was reported, by the source and the id it gave. */
export type UsageEvents = {
  find: (source: string, event: string) => { fingerprint: string; answer: string } | undefined;
  insert: (source: string, event: string, kept: { fingerprint: string; answer: string }) => void;
};

const mismatch = (field: string, what: string): Problem =>
  new Problem("idempotency_mismatch", `the ${what} was used for another request`, { field });

/** Answers a retry under its key; otherwise acts, and keeps the answer. */
const keyed = <T>(
  { replies }: Desk,
  endpoint: Endpoint,
  { caller, idempotency, at }: Commanded,
  act: () => T,
): T => {
  const known = idempotency && replies.find(endpoint, caller, idempotency.key);
  if (known) {
    if (known.fingerprint !== idempotency.fingerprint) throw mismatch("idempotency-key", "idempotency key");
    return JSON.parse(known.answer) as T;
  }
  const answer = act();
  if (idempotency) replies.keep(endpoint, caller, idempotency, JSON.stringify(answer), at);
  return answer;
};

const budgetOf = (book: Book, id: string): Budget => {
  const budget = book.get(id);
  if (!budget) throw new Problem("not_found", `there is no budget \`${id}\``, { field: "budget" });
  return budget;
};

type Entry = { kind: EntryKind; facts: JsonObject; detail: JsonObject; moves: NamedMove[]; agents: string[] };

const append = (desk: Desk, { id, at, caller }: Commanded, entry: Entry): number =>
  desk.append.entry({
    id,
    at,
    kind: entry.kind,
    record: (names, detail) =>
      actRecord(names, { kind: entry.kind, id, at, caller, detail, moves: entry.moves, facts: entry.facts }),
    body: JSON.stringify(entry.detail),
    agents: entry.agents,
  });

/** Usage on the accounts of its demand: used at once, whatever the limits. What was consumed was consumed. */
const debit = (desk: Desk, command: UsageCommand): UsageView => {
  const { source, event, demand, whose, agents, at } = command;
  const amounts = demand?.amounts ?? {};
  const runs = whose.run === undefined ? [] : desk.runs.lineage(whose.run);
  const loaded = demand ? desk.accounts.load(demand.touches, runs, at) : [];
  const moves = applyMoves(
    desk,
    loaded.map(({ row, start, unit, amount }) => ({
      row,
      start,
      used: unit === "concurrent" ? 0 : amount,
      held: 0,
    })),
  );
  const detail = { source, event, whose };
  const index = append(desk, command, { kind: "usage", facts: { amounts }, detail, moves, agents });
  desk.consumed(index, at, amounts, whose);
  if (whose.run !== undefined) desk.runs.count(whose.run, 0, amounts["usd_micros"] ?? 0);
  for (const { row, budget, account, unit, start, limit, used, amount, touch } of loaded) {
    const { alerts, spanMicros } = touch;
    desk.told.crossed({
      row,
      budget,
      account,
      unit,
      start,
      limit,
      used: used + amount,
      alerts,
      at,
      more: amount,
      ...(spanMicros === undefined ? {} : { spanMicros }),
    });
  }
  return { source, id: event, amounts, duplicate: false };
};

/** Takes usage in; the same event counts once. */
export const reportUsage = (desk: Desk, command: UsageCommand): UsageView => {
  const { source, event, fingerprint } = command;
  const known = desk.events.find(source, event);
  if (known) {
    if (known.fingerprint !== fingerprint) throw mismatch("id", "id");
    return { ...(JSON.parse(known.answer) as UsageView), duplicate: true };
  }
  const view = debit(desk, command);
  desk.events.insert(source, event, { fingerprint, answer: JSON.stringify(view) });
  return view;
};

/** Adds to an account's limit for a time. */
export const grantAct = (desk: Desk, book: Book, command: GrantCommand): Grant =>
  keyed(desk, "grant", command, () => {
    const { id, at, caller, budget, account, amount, from, until, reason } = command;
    budgetOf(book, budget);
    desk.accounts.open(budget, account);
    const grant: Grant = { id, at, by: caller, budget, account, amount, from, until, reason };
    desk.accounts.grant(grant);
    append(desk, command, {
      kind: "budget.grant",
      facts: { budget, amount, from, until },
      detail: { account, reason },
      moves: [],
      agents: [],
    });
    return grant;
  });

/** More windows than this no entry tells of. */
const correctedMax = 48;

/**
 * What a correction moves. More is used now; less was used when it was used: what is taken back leaves a rolling window
 * with the use it corrects, the oldest first, so that it never makes room that isn't there.
 */
const correction = (desk: Desk, { window }: Budget, row: number, amount: number, at: Micros): Move[] => {
  if (window.kind !== "rolling" || amount >= 0)
    return [{ row, start: periodAt(window, at).start, used: amount, held: 0 }];
  let left = -amount;
  const moves: Move[] = [];
  for (const { start, used } of desk.accounts.used(row, countedFrom(window, at))) {
    if (left === 0) break;
    const taken = Math.min(left, used);
    moves.push({ row, start, used: -taken, held: 0 });
    left -= taken;
  }
  if (moves.length > correctedMax)
    throw new Problem(
      "conflict",
      `that was used at more than ${correctedMax} times: take back less at once`,
      {
        field: "amount",
      },
    );
  return moves;
};

/** Corrects what an account has used. */
export const adjustAct = (desk: Desk, book: Book, command: AdjustCommand): AccountView =>
  keyed(desk, "adjust", command, () => {
    const { at, budget: name, account, unit, amount, reason } = command;
    const budget = budgetOf(book, name);
    if (unit !== budget.unit)
      throw new Problem("invalid_request", `\`${name}\` counts \`${budget.unit}\``, { field: "unit" });
    const row = desk.accounts.find(name, account);
    if (row === undefined)
      throw new Problem("not_found", `\`${name}\` has no account \`${account}\``, { field: "account" });
    const { used } = accountViewOf(desk.accounts, budget, account, row, at);
    if (used + amount < 0 || !Number.isSafeInteger(used + amount))
      throw new Problem("conflict", `${used} are used, so ${amount} can't be added`, { field: "amount" });
    const moves = applyMoves(desk, correction(desk, budget, row, amount, at));
    append(desk, command, {
      kind: "budget.adjust",
      facts: { budget: name, unit, amount },
      detail: { account, reason },
      moves,
      agents: [],
    });
    return accountViewOf(desk.accounts, budget, account, row, at);
  });
