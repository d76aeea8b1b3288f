/** The verdict after admission: the same permit with what it bought, or a denial that a machine can act on. */
import type { Admission, BudgetReason } from "../budget/admit.ts";
import { type Balance, capOutputTokens, type Consumption } from "../budget/budget.ts";
import { denialText, heldRetrySeconds, resetOf } from "../budget/message.ts";
import type { RunawayFinding } from "../budget/runaway.ts";
import type { Balances, Facts, Reason, Verdict } from "./question.ts";

/** A denial of what policies permitted. */
export const denialOf = (reason: Reason, detail: string, text?: string): Verdict => ({
  decision: false,
  reason,
  policies: [],
  obligations: [],
  messages: text === undefined ? [] : [text],
  advice: [],
  detail,
});

const budgetReasons: ReadonlySet<string> = new Set(["budget_exhausted", "budget_held", "amount_too_large"]);
const isBudgetReason = (reason: string): reason is BudgetReason => budgetReasons.has(reason);

const texts: Partial<Record<Reason, string>> = {
  no_budget: "Nothing may be consumed here: no budget covers this action. Stop and tell your user.",
  unpriced: "The price of this is not known, so it can't be bought. Stop and tell your user.",
  estimate_required: "An estimate of what this will consume is required.",
  runaway_limit: "This run has reached its limits. Stop, do not retry, and tell your user.",
  loop_detected: "The same was asked again and again. Stop, do not retry, and tell your user.",
  already_finished: "This was answered before, and what it reserved is closed. Ask anew, with another key.",
};

/** A store's balance may bear more than an answer should. */
const plain = ({
  budget,
  account,
  unit,
  mode,
  limit,
  used,
  held,
  resetsAt,
  amount,
  as,
}: Balance): Balance => ({
  budget,
  account,
  unit,
  mode,
  limit,
  used,
  held,
  ...(resetsAt === undefined ? {} : { resetsAt }),
  amount,
  as,
});

/** The balances with the admitted amounts in them. */
export const balancesAfter = (balances: Balances): Balance[] =>
  balances.map((balance) => ({
    ...plain(balance),
    used: balance.as === "use" ? balance.used + balance.amount : balance.used,
    held: balance.as === "hold" ? balance.held + balance.amount : balance.held,
  }));

/** The denial of an admission that failed. */
export const refusedBy = (admission: Extract<Admission, { admitted: false }>, facts: Facts): Verdict => {
  const { reason, detail, breaches } = admission;
  const resetsAt = reason === "budget_exhausted" ? resetOf(breaches) : undefined;
  const consumption: Consumption = {
    budgets: breaches.map(({ balance }) => plain(balance)),
    ...(resetsAt === undefined ? {} : { resetsAt }),
    ...(reason === "budget_held" ? { retryAfterSeconds: heldRetrySeconds } : {}),
    estimated: facts.demand?.estimated ?? false,
  };
  const text = isBudgetReason(reason) ? denialText(reason, breaches) : texts[reason];
  return { ...denialOf(reason, detail, text), consumption };
};

/** The denial of a question that runs away. */
export const runawayDenial = ({ reason, detail }: RunawayFinding): Verdict =>
  denialOf(reason, detail, texts[reason]);

export const finishedDenial = (): Verdict =>
  denialOf("already_finished", "the hold of the first answer is closed", texts.already_finished);

/** The permit with what it bought. `after` are the balances with it. */
export const boughtBy = (
  permit: Verdict,
  admission: Extract<Admission, { admitted: true }>,
  consumption: Omit<Consumption, "budgets">,
  after: Balances,
): Verdict => {
  const { outputTokensMax } = admission;
  const cap =
    outputTokensMax === undefined
      ? []
      : [{ id: "budget", type: capOutputTokens, properties: { max_output_tokens: outputTokensMax } }];
  return {
    ...permit,
    obligations: [...permit.obligations, ...cap],
    consumption: { ...consumption, budgets: [...after] },
  };
};
