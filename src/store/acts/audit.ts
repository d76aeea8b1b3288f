/** Recomputes every balance from the entries' own bytes and compares: what the ledger says and what accounts hold must agree. */
import { sumKey, type Sums } from "../../ledger/verify.ts";

/** A window of an account that differs, or a hold whose lines do. */
export type BalanceFault = { budget: string; account: string; start: number; message: string };

type MoveRecord = { budget: string; account: string; start: number; used?: number; held?: number };

/** A window as a store has it: what its account is called in entries, and what open holds hold of it. */
export type AuditedPeriod = {
  budget: string;
  account: string;
  /** Absent where no entry can name it. */
  name: string | null;
  start: number;
  used: number;
  held: number;
  open: number;
};

/** Adds what an entry moved. */
export const addLeaf = (sums: Sums, leaf: Buffer): void => {
  const { rec } = JSON.parse(leaf.toString("utf8")) as { rec: { moves?: MoveRecord[] } };
  for (const { budget, account, start, used = 0, held = 0 } of rec.moves ?? []) {
    const key = sumKey(budget, account, start);
    const sum = sums.get(key) ?? { used: 0, held: 0 };
    sums.set(key, { used: sum.used + used, held: sum.held + held });
  }
};

/** What differs; empty where everything agrees: `used` and `held` with the sums of the entries, `held` with the open holds. */
export const balanceFaults = (periods: Iterable<AuditedPeriod>, sums: Sums): BalanceFault[] => {
  const faults: BalanceFault[] = [];
  for (const { budget, account, name, start, used, held, open } of periods) {
    const key = sumKey(budget, name ?? "", start);
    const sum = sums.get(key) ?? { used: 0, held: 0 };
    sums.delete(key);
    const fault = (message: string): void => void faults.push({ budget, account, start, message });
    if (sum.used !== used) fault(`used is ${used}, the entries say ${sum.used}`);
    if (sum.held !== held) fault(`held is ${held}, the entries say ${sum.held}`);
    if (open !== held) fault(`held is ${held}, open holds say ${open}`);
  }
  for (const [key, { used, held }] of sums) {
    if (used === 0 && held === 0) continue;
    const [budget, account, start] = JSON.parse(key) as [string, string, number];
    faults.push({
      budget,
      account,
      start,
      message: `the entries say used ${used} and held ${held}, no row does`,
    });
  }
  return faults;
};
