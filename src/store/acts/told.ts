/** What persons were told of: each threshold once for an account, window and limit, in the act that crossed it. */
import { type Alert, alertId } from "../../alert/alert.ts";
import { type BurnRule, burnMinuteMicros, burnRules, burns, exhaustionAt } from "../../budget/burn.ts";
import { amountText } from "../../budget/message.ts";
import type { Micros } from "../../kit/clock.ts";

export type Crossing = {
  row: number;
  budget: string;
  account: string;
  unit: string;
  start: Micros;
  limit: number;
  used: number;
  alerts: readonly number[];
  at: Micros;
  /** What of the use is new, and how long the window is: for the rate. */
  more: number;
  spanMicros?: number;
};

export type Told = {
  /** Tells of each threshold that the use has reached and nobody was told of. */
  crossed: (crossing: Crossing) => void;
  /** Tells that an account turned a question away. */
  exhausted: (crossing: Crossing) => void;
  tell: (alert: Alert) => void;
};

/** Whether the use has reached a percentage of the limit. */
const isReached = (used: number, limit: number, percent: number): boolean => {
  if (limit <= 0 || used < 0) return false;
  const [part, whole] = [used * 100, percent * limit];
  return Number.isSafeInteger(part) && Number.isSafeInteger(whole)
    ? part >= whole
    : BigInt(used) * 100n >= BigInt(percent) * BigInt(limit);
};

const dataOf = ({ budget, account, unit, start, limit, used }: Crossing): Alert["data"] => ({
  budget,
  account,
  unit,
  limit,
  used,
  window_start: new Date(start / 1000).toISOString(),
});

const minuteOf = (at: Micros): number => Math.floor(at / burnMinuteMicros);

type Found = { rule: BurnRule; used: number };

/** What a store keeps of what was told. */
export type ToldRows = {
  /** Whether nobody was told of this threshold; from now on somebody was. */
  once: (crossing: Crossing, threshold: string) => boolean;
  /** Adds to the use of a minute. */
  burn: (crossing: Crossing, minute: number) => void;
  /** What was used from a minute on. */
  burnt: (crossing: Crossing, from: number) => number;
  /** Forgets the use of before a minute. */
  cool: (crossing: Crossing, before: number) => void;
};

/** Notes new use, and says which rule it breaks. */
const createBurn = (rows: ToldRows): ((crossing: Crossing) => Found | undefined) => {
  return (crossing) => {
    const { start, at, more, limit, spanMicros } = crossing;
    // What belongs to a window that is over says nothing of this one.
    const rules =
      more > 0 && spanMicros !== undefined && at < start + spanMicros ? burnRules(spanMicros) : [];
    if (rules.length === 0) return undefined;
    rows.burn(crossing, minuteOf(at));
    rows.cool(crossing, minuteOf(at - Math.max(...rules.map(({ longMicros }) => longMicros))));
    for (const rule of rules) {
      const long = rows.burnt(crossing, minuteOf(at - rule.longMicros));
      const short = rows.burnt(crossing, minuteOf(at - rule.shortMicros));
      if (burns(rule, limit, { long, short })) return { rule, used: long };
    }
    return undefined;
  };
};

export const createTold = (rows: ToldRows, tell: (alert: Alert) => void): Told => {
  const burn = createBurn(rows);
  const tellBurn = (crossing: Crossing): void => {
    const found = burn(crossing);
    if (!found || !rows.once(crossing, `burn ${found.rule.name}`)) return;
    const { budget, account, start, limit, unit, used, at } = crossing;
    const exhaustsAt = exhaustionAt(at, found.rule, found.used, Math.max(0, limit - used));
    const minutes = Math.round(found.rule.longMicros / burnMinuteMicros);
    tell({
      id: alertId("budget.burn_rate", [budget, account, start, found.rule.name, limit]),
      type: "budget.burn_rate",
      at,
      severity: found.rule.name === "fast" ? "critical" : "warning",
      title: `${budget} is being used up fast`,
      text: `${account} used ${amountText(found.used, unit)} of ${amountText(limit, unit)} within ${minutes} minutes; at this rate it is exhausted at ${new Date(exhaustsAt / 1000).toISOString()}.`,
      data: {
        ...dataOf(crossing),
        rate: found.rule.name,
        exhausts_at: new Date(exhaustsAt / 1000).toISOString(),
      },
    });
  };
  return {
    tell,
    crossed: (crossing) => {
      tellBurn(crossing);
      const { budget, account, unit, start, limit, used, alerts, at } = crossing;
      for (const threshold of alerts) {
        if (!isReached(used, limit, threshold) || !rows.once(crossing, String(threshold))) continue;
        tell({
          id: alertId("budget.threshold", [budget, account, start, threshold, limit]),
          type: "budget.threshold",
          at,
          severity: threshold >= 100 ? "critical" : "warning",
          title: `${budget}: ${threshold} % used`,
          text: `${account} has used ${amountText(used, unit)} of ${amountText(limit, unit)}.`,
          data: { ...dataOf(crossing), threshold },
        });
      }
    },
    exhausted: (crossing) => {
      const { budget, account, unit, start, limit, used, at } = crossing;
      if (!rows.once(crossing, "exhausted")) return;
      tell({
        id: alertId("budget.exhausted", [budget, account, start, limit]),
        type: "budget.exhausted",
        at,
        severity: "critical",
        title: `${budget} is exhausted`,
        text: `${account} was denied: ${amountText(used, unit)} of ${amountText(limit, unit)} are used.`,
        data: dataOf(crossing),
      });
    },
  };
};
