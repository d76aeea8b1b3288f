/** Questions tried out against the ledger as it stands: balances are read, nothing moves. */
import { denialOf } from "../../decision/admitted.ts";
import type { Balances, Verdict } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import { asStands, faultOf, judgeFresh, loadAccounts } from "./decide.ts";
import type { Desk } from "./desk.ts";

/** The desk for who opens no account. */
const lookingFrom = (desk: Desk): Desk => ({
  ...desk,
  accounts: { ...desk.accounts, load: desk.accounts.look },
});

const tryOne = (desk: Desk, bound: Bound, body: string, warn: (warning: string) => void): Verdict => {
  try {
    const { facts } = asStands(desk, bound, body);
    return judgeFresh(desk, bound, { ...facts, dryRun: true }).verdict;
  } catch (error) {
    if (desk.isFatal(error)) throw error;
    warn(faultOf(bound, error));
    return denialOf("policy_error", "the judgement failed");
  }
};

/** Judges and admits questions; what throws in a judgement denies its question alone, and `warn` hears of it. */
export const tryAll = (
  desk: Desk,
  bound: Bound,
  bodies: readonly string[],
  warn: (warning: string) => void,
): Verdict[] => {
  const looking = lookingFrom(desk);
  return bodies.map((body) => tryOne(looking, bound, body, warn));
};

/** The accounts that a question touches, as they are. */
export const balancesAsked = (desk: Desk, bound: Bound, body: string): Balances => {
  const { facts } = asStands(desk, bound, body);
  const loaded = loadAccounts(lookingFrom(desk), facts);
  return loaded.map(({ row: _row, start: _start, touch: _touch, ...balance }) => balance);
};
