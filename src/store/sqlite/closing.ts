/** What is left of pruned entries, as it is kept. */
import type { Database } from "better-sqlite3";
import type { Closing, ClosingBalance } from "../../ledger/closing.ts";
import type { ChainEnd } from "../../ledger/heads.ts";
import type { PrunedState } from "../acts/prune.ts";

/** How many entries are pruned; what they leave behind may be large and is not read. */
export const prunedBefore = (db: Database): number =>
  db.prepare<[], number>("select before from pruned").pluck().get()!;

/** What is known of them. */
export const prunedState = (db: Database): PrunedState =>
  db.prepare<[], PrunedState>("select before, latest, disorder from pruned").get()!;

/** What they leave behind; undefined where nothing was pruned. */
export const readClosing = (db: Database): Closing | undefined => {
  const state = prunedState(db);
  if (state.before === 0) return undefined;
  const chains = db
    .prepare<[], ChainEnd>("select key, count, leaf_hash as last from pruned_chain order by key")
    .all();
  const balances = db
    .prepare<[], ClosingBalance>(
      "select budget, account, start, used, held from pruned_balance order by budget, account, start",
    )
    .all();
  return { ...state, chains, balances };
};
