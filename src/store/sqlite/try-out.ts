/** Questions tried out against the ledger as it stands, balances are read, nothing moves. */
import type { Database } from "better-sqlite3";
import { denialOf } from "../../decision/admitted.ts";
import type { Balances, Verdict } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import { asStands, faultOf, judgeFresh, loadAccounts } from "../acts/decide.ts";
import type { Desk } from "./desk.ts";
import { isDatabaseFailure } from "./failure.ts";

export type TryOut = {
  /** Tries questions with the desk of the commits; what throws in a judgement denies its question alone. */
  all: (desk: Desk, bodies: readonly string[]) => Verdict[];
  /** The accounts that a question touches. */
  balances: (desk: Desk, body: string) => Balances;
};

/** The desk for who opens no account. */
const lookingFrom = (desk: Desk): Desk => ({
  ...desk,
  accounts: { ...desk.accounts, load: desk.accounts.look },
});

/** A decider that only looks. `warn` hears of judgements that threw. */
export const createTryOut = (db: Database, bound: Bound, warn: (warning: string) => void): TryOut => {
  const tryOne = (desk: Desk, body: string): Verdict => {
    try {
      const { facts } = asStands(desk, bound, body);
      return judgeFresh(desk, bound, { ...facts, dryRun: true }).verdict;
    } catch (error) {
      if (isDatabaseFailure(error)) throw error;
      warn(faultOf(bound, error));
      return denialOf("policy_error", "the judgement failed");
    }
  };
  return {
    all: (desk, bodies) => {
      const looking = lookingFrom(desk);
      // Whatever a trial might write is refused by the database itself.
      db.pragma("query_only = on");
      try {
        return bodies.map((body) => tryOne(looking, body));
      } finally {
        db.pragma("query_only = off");
      }
    },
    balances: (desk, body) => {
      const { facts } = asStands(desk, bound, body);
      const loaded = loadAccounts(lookingFrom(desk), facts);
      return loaded.map(({ row: _row, start: _start, touch: _touch, ...balance }) => balance);
    },
  };
};
