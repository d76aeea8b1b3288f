/** What persons were told of, on the working set. */
import type { ToldRows } from "../acts/told.ts";
import type { WorkingSet } from "./working-set.ts";

type ToldRow = { account: number; start: number; threshold: string; limit_then: number };
type BurnRow = { account: number; minute: number; used: number };

export const toldRows = (set: WorkingSet): ToldRows => {
  const burns = (row: number, budget: string, account: string): BurnRow[] =>
    set.rows<BurnRow>("burn", "burn", [budget, account], (each) => each.account === row);
  return {
    once: ({ row, budget, account, start, limit }, threshold) => {
      const told = set.rows<ToldRow>("told", "told", [budget, account, start], (each) => {
        return each.account === row && each.start === start;
      });
      if (told.some((each) => each.threshold === threshold && each.limit_then === limit)) return false;
      set.put("told", { account: row, start, threshold, limit_then: limit });
      return true;
    },
    burn: ({ row, budget, account, more }, minute) => {
      const before = burns(row, budget, account).find((each) => each.minute === minute)?.used ?? 0;
      set.put("burn", { account: row, minute, used: before + more });
    },
    burnt: ({ row, budget, account }, from) =>
      burns(row, budget, account)
        .filter(({ minute }) => minute >= from)
        .reduce((sum, { used }) => sum + used, 0),
    cool: ({ row, budget, account }, before) => {
      for (const each of burns(row, budget, account)) if (each.minute < before) set.remove("burn", each);
    },
  };
};
