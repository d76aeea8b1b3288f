/** Questions tried out with the desk of the commits, which writes nothing meanwhile. */
import type { Database } from "better-sqlite3";
import type { Balances, Verdict } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import { balancesAsked, tryAll } from "../acts/try-out.ts";
import type { Desk } from "./desk.ts";

export type TryOut = {
  /** Tries questions with the desk of the commits; what throws in a judgement denies its question alone. */
  all: (desk: Desk, bodies: readonly string[]) => Verdict[];
  /** The accounts that a question touches. */
  balances: (desk: Desk, body: string) => Balances;
};

/** A decider that only looks. `warn` hears of judgements that threw. */
export const createTryOut = (db: Database, bound: Bound, warn: (warning: string) => void): TryOut => ({
  all: (desk, bodies) => {
    // Whatever a trial might write is refused by the database itself.
    db.pragma("query_only = on");
    try {
      return tryAll(desk, bound, bodies, warn);
    } finally {
      db.pragma("query_only = off");
    }
  },
  balances: (desk, body) => balancesAsked(desk, bound, body),
});
