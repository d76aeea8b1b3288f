/** What is left of pruned entries, as it is kept. */
import type pg from "pg";
import type { Closing, ClosingBalance } from "../../ledger/closing.ts";
import type { PrunedState } from "../acts/prune.ts";
import { readRows } from "./rows.ts";

type Query = Pick<pg.ClientBase, "query">;

/** What is known of the entries that were pruned. */
export const prunedState = async (client: Query): Promise<PrunedState> => {
  const [state] = await readRows<PrunedState>(client, "select before, latest, disorder from pruned");
  return state!;
};

type ChainRow = { key: string; count: number; leaf_hash: Buffer };

/** What they leave behind, of one moment; undefined where nothing was pruned. */
export const readClosing = async (client: Query): Promise<Closing | undefined> => {
  const state = await prunedState(client);
  if (state.before === 0) return undefined;
  const chains = await readRows<ChainRow>(
    client,
    'select key, count, leaf_hash from pruned_chain order by key collate "C"',
  );
  const balances = await readRows<ClosingBalance>(
    client,
    `select budget, account, start, used, held from pruned_balance
     order by budget collate "C", account collate "C", start`,
  );
  return {
    ...state,
    chains: chains.map(({ key, count, leaf_hash: last }) => ({ key, count, last })),
    balances,
  };
};
