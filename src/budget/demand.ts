/** What a question asks of the budgets: which of them count it, on which accounts, and how much of each unit. */
import type { Micros } from "../kit/clock.ts";
import type { JsonValue } from "../kit/json.ts";
import { isObject } from "../kit/json.ts";
import { accountsMax } from "./account.ts";
import { spanOf } from "./burn.ts";
import { pricedAmounts } from "./admit.ts";
import {
  type Amounts,
  type Budget,
  countedUnits,
  type Demand,
  type Dimension,
  type Priced,
  type Touch,
} from "./budget.ts";
import { priceAt, type PriceCatalogue, worstCaseMicros } from "./prices.ts";
import { countedFrom, periodAt, resetsAt } from "./window.ts";

/** An estimate as a question brings it: amounts by unit, or tokens that the catalogue prices. */
export type Estimate =
  | { kind: "amounts"; amounts: Amounts }
  | { kind: "tokens"; model?: string; inputTokens: number; maxOutputTokens: number };

/** What the budgets need to know of a question. */
export type Probe = {
  at: Micros;
  /** `uidKey` of the action; absent: unknown, which every budget takes for its own. */
  action?: string;
  metered: boolean;
  resource?: { type: string; id: string; provider?: string };
  values: Readonly<Partial<Record<Dimension, readonly string[]>>>;
  /** The attribute at a path such as `resource.tier`, in Cedar's JSON form. */
  attribute: (path: string) => JsonValue | undefined;
  ttlMs?: number;
};

/** A scalar as an account or a condition names it; sets and records have no such name. */
const scalarOf = (value: JsonValue | undefined): string | undefined => {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (!isObject(value)) return undefined;
  const reference = value["__entity"] ?? value["__extn"];
  const named = isObject(reference) ? (reference["id"] ?? reference["arg"]) : undefined;
  return typeof named === "string" ? named : undefined;
};

const counts = (budget: Budget, probe: Probe): boolean => {
  const { actions, resourceTypes, where } = budget.for;
  if (actions && probe.action !== undefined && !actions.includes(probe.action)) return false;
  if (resourceTypes && probe.resource && !resourceTypes.includes(probe.resource.type)) return false;
  return where.every(({ path, values }) => {
    const value = scalarOf(probe.attribute(path));
    return value !== undefined && values.some((wanted) => String(wanted) === value);
  });
};

const valuesOf = (name: string, probe: Probe): readonly string[] => {
  if (name.includes(".")) {
    const value = scalarOf(probe.attribute(name));
    return value === undefined ? [] : [value];
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the file's shape allows nothing else
  return probe.values[name as Dimension] ?? [];
};

type Asked = { amount: number; missing?: true };

const askedOf = (budget: Budget, amounts: Amounts, due: boolean): Asked => {
  const { unit, defaultEstimate } = budget;
  if (countedUnits.has(unit) || unit === "concurrent") return { amount: amounts[unit] ?? 1 };
  const amount = amounts[unit];
  if (amount !== undefined) return { amount };
  if (!due) return { amount: 0 };
  return defaultEstimate === undefined ? { amount: 0, missing: true } : { amount: defaultEstimate };
};

const touchOf = (budget: Budget, probe: Probe, values: string[][], amount: number): Touch => {
  const { id, unit, mode, limit, per, window, onLapse, alerts } = budget;
  const resets = resetsAt(window, probe.at);
  const span = spanOf(window, probe.at);
  return {
    budget: id,
    unit,
    mode,
    limit,
    per,
    values,
    amount,
    as: countedUnits.has(unit) ? "use" : "hold",
    onLapse,
    start: periodAt(window, probe.at).start,
    countedFrom: countedFrom(window, probe.at),
    ...(resets === undefined ? {} : { resetsAt: resets }),
    ...(span === undefined ? {} : { spanMicros: span }),
    alerts,
  };
};

type Valued = { amounts: Amounts; priced?: Priced; fault?: string };

const priceEstimate = (estimate: Estimate, probe: Probe, catalogue: PriceCatalogue): Valued => {
  if (estimate.kind === "amounts") return { amounts: estimate.amounts };
  const { model = "", inputTokens, maxOutputTokens } = estimate;
  const tokens = pricedAmounts(inputTokens, maxOutputTokens, undefined);
  const named = probe.resource?.id;
  // The model that is asked for decides the price; another name beside it would buy dear for cheap.
  if (named !== undefined && model !== "" && model !== named)
    return { amounts: tokens, fault: `the estimate is for \`${model}\`, the resource is \`${named}\`` };
  const price = priceAt(catalogue, { model: named ?? model, ...providerOf(probe) }, probe.at);
  if (!price) return { amounts: tokens, fault: `\`${named ?? model}\` has no price` };
  const micros = worstCaseMicros(price, { inputTokens, maxOutputTokens });
  if (typeof micros !== "number")
    return { amounts: tokens, fault: "the estimate costs more than can be counted" };
  return {
    amounts: pricedAmounts(inputTokens, maxOutputTokens, micros),
    priced: { model: price.model, version: catalogue.version, price, inputTokens, maxOutputTokens },
  };
};

const providerOf = ({ resource }: Probe): { provider?: string } =>
  resource?.provider === undefined ? {} : { provider: resource.provider };

const total = (touches: readonly Touch[]): number =>
  touches.reduce((sum, { values }) => sum + values.reduce((product, list) => product * list.length, 1), 0);

const refusalOf = (
  touches: readonly Touch[],
  missing: readonly string[],
  fault: string | undefined,
  metered: boolean,
): Demand["refusal"] => {
  if (metered && touches.length === 0)
    return { reason: "no_budget", detail: "the action is metered, and no budget covers it" };
  if (total(touches) > accountsMax)
    return { reason: "no_budget", detail: `more than ${accountsMax} accounts would have to be debited` };
  const money = touches.some(({ unit }) => unit === "usd_micros");
  if (fault !== undefined && money) return { reason: "unpriced", detail: fault, unit: "usd_micros" };
  const [unit] = missing;
  return unit === undefined
    ? undefined
    : { reason: "estimate_required", detail: `an estimate of \`${unit}\` is required`, unit };
};

/**
 * What the question asks of the budgets, or nothing where none counts it, it brings no estimate and isn't metered.
 * A metered action needs an amount of every unit that a budget counts it in: its own, or the budget's default.
 */
export const demandOf = (
  budgets: readonly Budget[],
  catalogue: PriceCatalogue,
  probe: Probe,
  estimate: Estimate | undefined,
): Demand | undefined => {
  const valued: Valued = estimate ? priceEstimate(estimate, probe, catalogue) : { amounts: {} };
  const due = probe.metered || estimate !== undefined;
  const amounts: Amounts = { ...valued.amounts };
  const touches: Touch[] = [];
  const missing: string[] = [];
  let holdTtlMs = probe.ttlMs ?? Number.MAX_SAFE_INTEGER;
  for (const budget of budgets) {
    if (!counts(budget, probe)) continue;
    const values = budget.per.map((name) => [...valuesOf(name, probe)]);
    // A question without such a value has no account there.
    if (values.some((list) => list.length === 0)) continue;
    const asked = askedOf(budget, valued.amounts, due);
    const unpriced = budget.unit === "usd_micros" && valued.fault !== undefined;
    if (asked.missing && !unpriced && budget.mode !== "shadow") missing.push(budget.unit);
    if (asked.amount > 0 && !countedUnits.has(budget.unit))
      amounts[budget.unit] = Math.max(amounts[budget.unit] ?? 0, asked.amount);
    if (probe.ttlMs === undefined) holdTtlMs = Math.min(holdTtlMs, budget.holdTtlMs);
    touches.push(touchOf(budget, probe, values, asked.amount));
  }
  if (touches.length === 0 && !due) return undefined;
  // Budgets may differ in what they hold by default; one hold has one amount of a unit.
  for (const touch of touches) if (touch.as === "hold") touch.amount = amounts[touch.unit] ?? 0;
  const refusal = refusalOf(touches, missing, valued.fault, probe.metered);
  return {
    touches,
    amounts,
    estimated: estimate !== undefined,
    holds: estimate !== undefined || touches.some(({ as, amount }) => as === "hold" && amount > 0),
    holdTtlMs: holdTtlMs === Number.MAX_SAFE_INTEGER ? defaultHoldTtlMs : holdTtlMs,
    ...(valued.priced ? { priced: valued.priced } : {}),
    ...(refusal ? { refusal } : {}),
  };
};

/** Of a hold that no budget has a say in. */
const defaultHoldTtlMs = 900_000;

/** What usage that was reported without a hold asks of the budgets: nothing but the amounts that were reported. */
export const reportedDemand = (
  budgets: readonly Budget[],
  catalogue: PriceCatalogue,
  probe: Probe,
  amounts: Amounts,
): Demand | undefined => {
  const demand = demandOf(budgets, catalogue, probe, { kind: "amounts", amounts });
  if (!demand) return undefined;
  const touches = demand.touches
    .map((touch) => ({ ...touch, amount: amounts[touch.unit] ?? 0 }))
    .filter(({ amount }) => amount > 0);
  return { ...demand, touches, amounts };
};
