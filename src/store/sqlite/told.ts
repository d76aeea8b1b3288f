/** What persons were told of: each threshold once for an account, window and limit, in the act that crossed it. */
import type { Database } from "better-sqlite3";
import { type Alert, alertId } from "../../alert/alert.ts";
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
};

export type Told = {
  /** Tells of each threshold that the use has reached and nobody was told of. */
  crossed: (crossing: Crossing) => void;
  /** Tells that an account turned a question away. */
  exhausted: (crossing: Crossing) => void;
  tell: (alert: Alert) => void;
};

const dataOf = ({ budget, account, unit, start, limit, used }: Crossing): Alert["data"] => ({
  budget,
  account,
  unit,
  limit,
  used,
  window_start: new Date(start / 1000).toISOString(),
});

export const createTold = (db: Database, tell: (alert: Alert) => void): Told => {
  const insert = db.prepare(
    "insert or ignore into told (account, start, threshold, limit_then) values (?, ?, ?, ?)",
  );
  const once = ({ row, start, limit }: Crossing, threshold: string): boolean =>
    insert.run(row, start, threshold, limit).changes === 1;
  return {
    tell,
    crossed: (crossing) => {
      const { budget, account, unit, start, limit, used, alerts, at } = crossing;
      for (const threshold of alerts) {
        const reached = limit > 0 && BigInt(used) * 100n >= BigInt(threshold) * BigInt(limit);
        if (!reached || !once(crossing, String(threshold))) continue;
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
      if (!once(crossing, "exhausted")) return;
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
