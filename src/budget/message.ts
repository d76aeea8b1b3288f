/** What a denial says to a person or a model: what ran out, when it may be asked again, and that it should stop. */
import type { Breach, BudgetReason } from "./admit.ts";
import { remainingOf } from "./budget.ts";

/** An amount for people: money as money. */
export const amountText = (amount: number, unit: string): string => {
  if (unit !== "usd_micros") return `${amount} ${unit.replaceAll("_", " ")}`;
  const sign = amount < 0 ? "-" : "";
  const micros = Math.abs(amount);
  const dollars = Math.floor(micros / 1_000_000);
  const fraction = String(micros % 1_000_000).padStart(6, "0");
  return `${sign}${dollars}.${fraction.replace(/0{1,4}$/, "")} USD`;
};

const isoOf = (at: number): string => new Date(Math.ceil(at / 1000)).toISOString();

const causeOf = ({ balance, reason }: Breach): string => {
  const { budget, limit, used, held, amount, unit } = balance;
  const state = `${amountText(used, unit)} of ${amountText(limit, unit)} used, ${amountText(held, unit)} held, ${amountText(amount, unit)} asked`;
  switch (reason) {
    case "amount_too_large":
      return `The budget ${budget} never allows so much at once (${state}).`;
    case "budget_exhausted":
      return `The budget ${budget} is exhausted (${state}).`;
    case "budget_held":
      return `The budget ${budget} is taken by calls that are still open (${state}).`;
  }
};

const adviceOf = (reason: BudgetReason, breaches: readonly Breach[], retryAfterSeconds: number): string => {
  if (reason === "budget_held") return `Try again in ${retryAfterSeconds} seconds.`;
  if (reason === "amount_too_large") {
    const most = Math.min(...breaches.map(({ balance }) => remainingOf(balance)));
    const unit = breaches[0]!.balance.unit;
    return `Ask for less (${amountText(most, unit)} remain) or stop; do not retry.`;
  }
  const resets = resetOf(breaches);
  return resets === undefined
    ? "It does not reset by itself: stop, do not retry, and tell your user."
    : `Stop and do not retry before ${isoOf(resets)}.`;
};

/** When every exhausted account has begun anew; nothing where one never does. */
export const resetOf = (breaches: readonly Breach[]): number | undefined => {
  const resets = breaches
    .filter(({ reason }) => reason === "budget_exhausted")
    .map(({ balance }) => balance.resetsAt);
  return resets.length === 0 || resets.includes(undefined)
    ? undefined
    : Math.max(...resets.filter((at) => at !== undefined));
};

/** How long holds usually live at most; a guess that keeps a client from hammering. */
export const heldRetrySeconds = 5;

/** The text of a budget's denial. It names budgets and amounts, and nothing of policies or people. */
export const denialText = (reason: BudgetReason, breaches: readonly Breach[]): string =>
  [...breaches.map(causeOf), adviceOf(reason, breaches, heldRetrySeconds)].join(" ");
