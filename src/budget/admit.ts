/**
 * Admission: whether a question's amounts fit every hard account at once, or why not. Integers only, pure, and the
 * same for every store.
 */
import { type Amounts, type Balance, type Demand, remainingOf } from "./budget.ts";
import { affordableOutputTokens, type Price, worstCaseMicros } from "./prices.ts";

export type BudgetReason = "budget_exhausted" | "budget_held" | "amount_too_large";

/** An account that the amount does not fit. */
export type Breach = { balance: Balance; reason: BudgetReason };

export type Admission =
  | {
      admitted: true;
      /** The accounts with what each is asked for. */
      balances: readonly Balance[];
      /** Everything that is asked for, by unit. */
      amounts: Amounts;
      /** The most output tokens that were bought, where it is less than was asked. */
      outputTokensMax?: number;
      /** Accounts that did not stop it: soft ones, and shadow ones that would have. */
      breaches: readonly Breach[];
    }
  | {
      admitted: false;
      reason: BudgetReason | NonNullable<Demand["refusal"]>["reason"];
      detail: string;
      breaches: readonly Breach[];
    };

/** The more final reason comes first: what never fits, then what fits after a reset, then what may fit in a moment. */
const finality: readonly BudgetReason[] = ["amount_too_large", "budget_exhausted", "budget_held"];

const breachOf = (balance: Balance): BudgetReason | undefined => {
  const { amount, limit, used } = balance;
  if (amount === 0 || amount <= remainingOf(balance)) return undefined;
  if (amount > limit) return "amount_too_large";
  return Math.max(0, used) + amount > limit ? "budget_exhausted" : "budget_held";
};

type Fit = { fits: true; breaches: Breach[] } | { fits: false; reason: BudgetReason; breaches: Breach[] };

/** Whether all amounts fit, or none. Balances are those before this question. */
export const fitOf = (balances: readonly Balance[]): Fit => {
  const breaches = balances.flatMap((balance): Breach[] => {
    const reason = breachOf(balance);
    return reason === undefined ? [] : [{ balance, reason }];
  });
  const hard = breaches.filter(({ balance }) => balance.mode === "hard");
  const reason = finality.find((each) => hard.some((breach) => breach.reason === each));
  return reason === undefined ? { fits: true, breaches } : { fits: false, reason, breaches: hard };
};

type Tokens = { price: Price; inputTokens: number; maxOutputTokens: number };

/**
 * The most output tokens that every hard account can still pay for, or nothing where even one doesn't fit or something
 * else stands in the way.
 */
const affordable = (
  balances: readonly Balance[],
  { price, inputTokens, maxOutputTokens }: Tokens,
): number | undefined => {
  let tokens: number | undefined = maxOutputTokens;
  for (const balance of balances) {
    if (balance.mode !== "hard" || balance.amount === 0) continue;
    const remaining = remainingOf(balance);
    const room =
      balance.unit === "usd_micros"
        ? affordableOutputTokens(price, { inputTokens, micros: remaining })
        : balance.unit === "tokens"
          ? remaining - inputTokens
          : balance.unit === "output_tokens"
            ? remaining
            : // Nothing that a shorter answer would lower.
              balance.amount <= remaining
              ? tokens
              : undefined;
    if (room === undefined) return undefined;
    tokens = Math.min(tokens, room);
  }
  return tokens >= 1 ? tokens : undefined;
};

/** The amounts of a priced estimate with this many output tokens. */
export const pricedAmounts = (
  inputTokens: number,
  outputTokens: number,
  micros: number | undefined,
): Amounts => ({
  input_tokens: inputTokens,
  output_tokens: outputTokens,
  tokens: inputTokens + outputTokens,
  ...(micros === undefined ? {} : { usd_micros: micros }),
});

/** The same question with a shorter answer, where one fits. */
const capped = (
  demand: Demand,
  balances: readonly Balance[],
  tokens: Tokens,
): Extract<Admission, { admitted: true }> | undefined => {
  const outputTokensMax = affordable(balances, tokens);
  if (outputTokensMax === undefined || outputTokensMax >= tokens.maxOutputTokens) return undefined;
  const { price, inputTokens } = tokens;
  const micros = worstCaseMicros(price, { inputTokens, maxOutputTokens: outputTokensMax });
  if (micros === "overflow") return undefined;
  const amounts = { ...demand.amounts, ...pricedAmounts(inputTokens, outputTokensMax, micros) };
  const lowered = balances.map((balance) => ({
    ...balance,
    amount: balance.as === "hold" ? (amounts[balance.unit] ?? balance.amount) : balance.amount,
  }));
  const fit = fitOf(lowered);
  return fit.fits
    ? { admitted: true, balances: lowered, amounts, outputTokensMax, breaches: fit.breaches }
    : undefined;
};

const detailOf = (breaches: readonly Breach[]): string =>
  breaches
    .map(({ balance: { budget, account, unit, limit, used, held, amount }, reason }) =>
      [
        `${reason}: \`${budget}\` of \`${account}\``,
        `limit ${limit} ${unit}, used ${used}, held ${held}, asked ${amount}`,
      ].join(", "),
    )
    .join("; ");

/**
 * Admits a demand. Where it doesn't fit but a shorter answer would, and the enforcement point can cap its output
 * (`caps`), as much is admitted as the budgets buy.
 */
export const admitDemand = (
  demand: Demand | undefined,
  balances: readonly Balance[],
  caps: boolean,
): Admission => {
  if (!demand) return { admitted: true, balances, amounts: {}, breaches: [] };
  if (demand.refusal) return { admitted: false, ...demand.refusal, breaches: [] };
  const fit = fitOf(balances);
  if (fit.fits) return { admitted: true, balances, amounts: demand.amounts, breaches: fit.breaches };
  if (caps && demand.priced) {
    const { price, inputTokens, maxOutputTokens } = demand.priced;
    const less = capped(demand, balances, { price, inputTokens, maxOutputTokens });
    if (less) return less;
  }
  return { admitted: false, reason: fit.reason, detail: detailOf(fit.breaches), breaches: fit.breaches };
};
