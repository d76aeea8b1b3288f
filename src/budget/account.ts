/** Accounts: the instances of a budget, named by what it is per. */
import type { Touch } from "./budget.ts";

/** What the account of a budget that is per nothing is called. */
export const soleAccount = "all";

/** More accounts than this no question may touch: an entry has bounds. */
export const accountsMax = 48;

const escaped = (value: string): string =>
  /[%,]/.test(value) ? value.replaceAll(/[%,]/g, (found) => (found === "%" ? "%25" : "%2C")) : value;

/** The name of an account: `agent:ID`, or `agent:ID,model:ID`; `,` and `%` inside a value are percent-encoded. */
export const accountName = (per: readonly string[], values: readonly string[]): string =>
  per.length === 0
    ? soleAccount
    : per.map((name, position) => `${name}:${escaped(values[position]!)}`).join(",");

/** All combinations, one value of each list. */
const combinations = (lists: readonly (readonly string[])[]): string[][] => {
  const [only, ...others] = lists;
  if (only && others.length === 0) return only.map((value) => [value]);
  return lists.reduce<string[][]>(
    (heads, list) => heads.flatMap((head) => list.map((value) => [...head, value])),
    [[]],
  );
};

/**
 * The accounts of a touch. `runs` are the question's run and the runs above it: a run's consumption is its parents' too.
 */
export const accountsOf = ({ per, values }: Touch, runs: readonly string[]): string[] => {
  const lists = values.map((list, position) => (per[position] === "run" ? runs : list));
  return combinations(lists).map((combination) => accountName(per, combination));
};
