/** Answers of the AuthZEN Authorization API 1.0 (§5.5, §6.2, §7.2). Equal outcomes give equal bytes. */
import type { JsonObject } from "../kit/json.ts";
import type { Problem } from "../kit/problem.ts";

/** What of an outcome can appear in an answer. */
export type Outcome = {
  decision: boolean;
  reason: string;
  policies: readonly string[];
  obligations: readonly { id: string; type: string; properties?: JsonObject }[];
  messages: readonly string[];
  advice: readonly string[];
  detail?: string;
  consumption?: Consumption;
};

/** What budgets have to say of an outcome; amounts are integers of the budget's unit, instants in microseconds. */
export type Consumption = {
  budgets: readonly {
    budget: string;
    account: string;
    unit: string;
    limit: number;
    used: number;
    held: number;
    resetsAt?: number;
    mode: string;
    amount: number;
  }[];
  hold?: { id: string; expiresAt: number; amounts: Readonly<Record<string, number>> };
  resetsAt?: number;
  retryAfterSeconds?: number;
  estimated: boolean;
};

/** How much the caller is told: nothing beyond the decision, what its user may see, or everything. */
export type DetailLevel = "plain" | "user" | "admin";

/** For reasons that no policy's `@reason` explains. Safe to show: they tell nothing of policies or entities. */
const messageOf = (outcome: Outcome): string => {
  if (outcome.messages.length > 0) return outcome.messages.join(" ");
  return outcome.decision ? "The request is permitted." : "The request is not permitted.";
};

const adminText = ({ reason, policies, detail }: Outcome): string => {
  const by = policies.length === 0 ? "" : ` by ${policies.join(", ")}`;
  return `${reason}${by}${detail === undefined ? "" : `: ${detail}`}`;
};

const instant = (at: number): string => new Date(Math.ceil(at / 1000)).toISOString();

/** A balance as it is after the answer. */
export const budgetBody = (balance: Consumption["budgets"][number]): JsonObject => ({
  budget: balance.budget,
  account: balance.account,
  unit: balance.unit,
  limit: balance.limit,
  used: Math.max(0, balance.used),
  held: balance.held,
  remaining: Math.max(0, balance.limit - Math.max(0, balance.used) - balance.held),
  ...(balance.resetsAt === undefined ? {} : { resets_at: instant(balance.resetsAt) }),
  mode: balance.mode,
});

const permitRemit = ({ hold, budgets }: Consumption): JsonObject => ({
  ...(hold
    ? { hold: { id: hold.id, expires_at: instant(hold.expiresAt), amounts: { ...hold.amounts } } }
    : {}),
  budgets: budgets.map(budgetBody),
});

/** Reasons that are always told: whoever is refused for money must know to stop. */
const alwaysTold: ReadonlySet<string> = new Set([
  "estimate_required",
  "unpriced",
  "no_budget",
  "budget_exhausted",
  "budget_held",
  "amount_too_large",
  "runaway_limit",
  "loop_detected",
  "already_finished",
]);

/** What of an outcome is Remit's own: with an estimate, hold and balances; of a denial, why and until when. */
const remitOf = (outcome: Outcome, level: DetailLevel): JsonObject | undefined => {
  const { decision, reason, consumption } = outcome;
  if (decision) return consumption?.estimated ? permitRemit(consumption) : undefined;
  if (level === "plain" && !alwaysTold.has(reason)) return undefined;
  return {
    reason,
    message: messageOf(outcome),
    ...(consumption?.retryAfterSeconds === undefined ? {} : { retry_after: consumption.retryAfterSeconds }),
    ...(consumption?.resetsAt === undefined ? {} : { resets_at: instant(consumption.resetsAt) }),
    ...(consumption && consumption.budgets.length > 0
      ? { budgets: consumption.budgets.map(budgetBody) }
      : {}),
  };
};

const contextOf = (outcome: Outcome, level: DetailLevel): JsonObject => {
  const context: JsonObject = {};
  const code = outcome.decision ? "200" : "403";
  if (level !== "plain") context["reason_user"] = { [code]: messageOf(outcome) };
  if (level === "admin") context["reason_admin"] = { [code]: adminText(outcome) };
  if (level !== "plain" && outcome.advice.length > 0) context["advice"] = [...outcome.advice];
  if (outcome.obligations.length > 0)
    context["obligations"] = outcome.obligations.map((obligation): JsonObject => ({ ...obligation }));
  const remit = remitOf(outcome, level);
  if (remit) context["remit"] = remit;
  return context;
};

/** A Decision (§5.5): the `context` is there only when it says something. */
export const decisionBody = (outcome: Outcome, level: DetailLevel): JsonObject => {
  const context = contextOf(outcome, level);
  return Object.keys(context).length === 0
    ? { decision: outcome.decision }
    : { decision: outcome.decision, context };
};

/** The answer to an item that could not be asked: denied, and told why (§7.2.2). */
export const itemProblemBody = ({ status, detail }: Problem): JsonObject => ({
  decision: false,
  context: { error: { status, message: detail } },
});
