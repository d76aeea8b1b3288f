/** What is left of pruned entries, as it is kept. */
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";
import type { Closing, ClosingBalance } from "../../ledger/closing.ts";
import type { ChainEnd } from "../../ledger/heads.ts";

/** How many entries are pruned; what they leave behind may be large and is not read. */
export const prunedBefore = (db: Database): number =>
  db.prepare<[], number>("select before from pruned").pluck().get()!;

/** What they leave behind; undefined where nothing was pruned. */
export const readClosing = (db: Database): Closing | undefined => {
  const state = db
    .prepare<[], Pick<Closing, "before" | "latest" | "disorder">>(
      "select before, latest, disorder from pruned",
    )
    .get();
  if (!state || state.before === 0) return undefined;
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

/** An entry that is no more than a hash. */
export const prunedProblem = (what: string, before: number): Problem =>
  new Problem("pruned", `${what}: entries before ${before} are kept as hashes only, look in their export`);
