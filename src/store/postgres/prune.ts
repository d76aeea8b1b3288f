/**
 * Prunes entries to their hashes: leaves, details, and what stood for whom in them alone. Tiles stay, so every proof still
 * verifies; balances and the ends of chains are kept as of the last, and an entry commits to them.
 */
import type pg from "pg";
import { Problem } from "../../kit/problem.ts";
import { agentsOf, facetsOf } from "../../ledger/facets.ts";
import type { PruneCommand, Pruned } from "../../ledger/store.ts";
import { tileWidth } from "../../ledger/tile.ts";
import { disorderMsMax } from "../../ledger/verify.ts";
import type { Exported } from "../acts/exported.ts";
import { entriesUnder } from "../acts/legal-holds.ts";
import {
  appendPrune,
  boundOf,
  exportedUpTo,
  movesIn,
  type OldEntry,
  type PrunedState,
  type PrunedStep,
  recordOf,
  takeOld,
} from "../acts/prune.ts";
import { prunedState, readClosing } from "./closing.ts";
import type { Commits } from "./commit.ts";
import { firstEntry } from "./entries.ts";
import { legalHoldOf, type LegalHoldRow } from "./legal-holds.ts";
import { hexOf, insertInto, readRows } from "./rows.ts";

/** Prunes a step of what is asked for. @throws Problem `conflict` where something is in the way */
export type Prune = (command: PruneCommand) => Promise<Pruned>;

type Query = Pick<pg.ClientBase, "query">;

/** Entries pruned in one turn, which all others wait for. A whole number of tiles. */
const stepEntries = 1024;

/**
 * The first index from `from` on that is dated at an instant or later. Exact within a step; beyond it as entries overtake one
 * another at most, and looked for again in the step that comes there.
 */
const positionOf = async (client: Query, at: number, from: number): Promise<number> => {
  const [row] = await readRows<{ idx: number }>(
    client,
    `select coalesce(
       (select min(idx) from entry where idx >= $3 and idx < $4 and at >= $1),
       (select min(e.idx) from entry e where e.at >= $1 and e.at <= $2 + (
         select f.at from entry f where f.at >= $1 order by f.at limit 1)),
       (select max(idx) + 1 from entry), 0) as idx`,
    [at, disorderMsMax * 1000, from, from + stepEntries],
  );
  return row!.idx;
};

/** The first entry that is held, and by which hold. */
const firstHeld = async (client: Query): Promise<{ index: number; hold: string } | undefined> => {
  const rows = await readRows<LegalHoldRow>(client, "select * from legal_hold where not lifted");
  const held: { index: number; hold: string }[] = [];
  for (const hold of rows.map(legalHoldOf)) {
    const index = await firstEntry(client, entriesUnder(hold));
    if (index !== undefined) held.push({ index, hold: hold.id });
  }
  return held.toSorted((a, b) => a.index - b.index)[0];
};

type Reach = { bound: number; digests: string[] };

/** Where pruning may go to, and the exports that it relies on. */
const reachOf = async (client: Query, from: number, command: PruneCommand): Promise<Reach> => {
  const exports = await readRows<Exported>(
    client,
    "select first, count, digest from exported where first + count > $1 order by first, count desc",
    [from],
  );
  const { end: exported, digests } = exportedUpTo(exports, from);
  const [tree] = await readRows<{ signed: number }>(
    client,
    "select coalesce(max(size), 0) as signed from checkpoint",
  );
  const wanted = "before" in command ? command.before : await positionOf(client, command.beforeAt, from);
  const bounds = { from, wanted, signed: tree!.signed, exported, held: await firstHeld(client) };
  return { bound: boundOf(bounds, command), digests };
};

/** What entries leave behind, and the rows by which they are found. */
type Left = {
  balances: { budget: string; account: string; start: number; used: number; held: number }[];
  chains: Map<string, { count: number; hash: string }>;
  facets: { kind: string[]; value: string[]; idx: number[] };
  agents: { agent: string[]; idx: number[] };
};

const noLeft = (): Left => ({
  balances: [],
  chains: new Map(),
  facets: { kind: [], value: [], idx: [] },
  agents: { agent: [], idx: [] },
});

/** Goes through the entries of a step. */
const take = async (
  client: Query,
  known: PrunedState,
  end: number,
): Promise<{ left: Left; state: PrunedState; names: Set<string> }> => {
  const rows = await readRows<OldEntry>(
    client,
    "select idx, at, leaf from entry where idx >= $1 and idx < $2 order by idx",
    [known.before, end],
  );
  const tiles = await readRows<{ idx: number; hashes: Buffer }>(
    client,
    "select idx, hashes from tile where level = 0 and idx >= $1 and idx < $2",
    [known.before / tileWidth, end / tileWidth],
  );
  const hashes = new Map(tiles.map(({ idx, hashes: each }) => [idx, each]));
  const left = noLeft();
  const taken = takeOld(
    known,
    end,
    rows,
    (index) => hashes.get(index),
    (index, leaf, hash) => {
      for (const { budget, account, start, used = 0, held = 0 } of movesIn(leaf))
        left.balances.push({ budget, account, start, used, held });
      for (const { k, n } of leaf.chain) left.chains.set(k, { count: n, hash: hexOf(hash) });
      const rec = recordOf(leaf);
      for (const [kind, value] of facetsOf(rec)) {
        left.facets.kind.push(kind);
        left.facets.value.push(value);
        left.facets.idx.push(index);
      }
      const keys = leaf.chain.map(({ k }) => k);
      for (const agent of agentsOf(keys, rec)) {
        left.agents.agent.push(agent);
        left.agents.idx.push(index);
      }
    },
  );
  return { left, ...taken };
};

/** Takes what entries leave behind into the closing. */
const close = async (client: Query, { balances, chains }: Left, state: PrunedState): Promise<void> => {
  const sums = new Map<string, Left["balances"][number]>();
  for (const move of balances) {
    const key = JSON.stringify([move.budget, move.account, move.start]);
    const before = sums.get(key) ?? { ...move, used: 0, held: 0 };
    sums.set(key, { ...move, used: before.used + move.used, held: before.held + move.held });
  }
  await insertInto(
    client,
    "pruned_balance",
    { budget: "text", account: "text", start: "bigint", used: "bigint", held: "bigint" },
    [...sums.values()],
    `on conflict (budget, account, start) do update set used = pruned_balance.used + excluded.used,
       held = pruned_balance.held + excluded.held`,
  );
  await client.query("delete from pruned_balance where used = 0 and held = 0");
  await insertInto(
    client,
    "pruned_chain",
    { key: "text", count: "bigint", leaf_hash: "bytea" },
    [...chains].map(([key, { count, hash }]) => ({ key, count, leaf_hash: hash })),
    "on conflict (key) do update set count = excluded.count, leaf_hash = excluded.leaf_hash",
  );
  await client.query("update pruned set before = $1, latest = $2, disorder = $3", [
    state.before,
    state.latest,
    state.disorder,
  ]);
};

/** Takes the rows away, and what pseudonyms stand for that no entry bears any more. Chains go on under the ones they have. */
const forget = async (
  client: Query,
  { facets, agents }: Left,
  [from, end]: readonly [number, number],
  names: ReadonlySet<string>,
): Promise<void> => {
  await readRows(
    client,
    `delete from entry_facet t using unnest($1::text[], $2::text[], $3::bigint[]) as f(kind, value, idx)
     where t.kind = f.kind and t.value = f.value and t.idx = f.idx`,
    [facets.kind, facets.value, facets.idx],
  );
  await readRows(
    client,
    `delete from entry_agent t using unnest($1::text[], $2::bigint[]) as a(agent, idx)
     where t.agent = a.agent and t.idx = a.idx`,
    [agents.agent, agents.idx],
  );
  await client.query(
    `delete from entry_trace t using detail d where d.idx >= $1 and d.idx < $2 and t.idx = d.idx
       and t.trace = substring(d.body from '"traceId":"([0-9a-f]+)"')`,
    [from, end],
  );
  for (const table of ["detail", "consumption", "entry"])
    await client.query(`delete from ${table} where idx >= $1 and idx < $2`, [from, end]);
  await client.query(
    `delete from pseudonym p where name = any($1) and kind in ('entity', 'type', 'action', 'run')
     and not exists (select 1 from entry_agent where agent = p.name)
     and not exists (select 1 from entry where resource = p.name)
     and not exists (select 1 from chain_head where key = 'agent:' || p.name)
     and not exists (select 1 from entry_facet where kind in ('subject', 'run', 'action') and value = p.name)`,
    [[...names]],
  );
};

/** The database's word for what a role may not do. */
const notAllowed = "42501";

const pruneIn = async (client: Query, command: PruneCommand): Promise<PrunedStep> => {
  const known = await prunedState(client);
  const from = known.before;
  const { bound, digests } = await reachOf(client, from, command);
  if (bound <= from) return { before: from, entries: 0, more: false };
  const end = Math.min(bound, from + stepEntries);
  const { left, state, names } = await take(client, known, end);
  await close(client, left, state);
  await forget(client, left, [from, end], names);
  const closing = (await readClosing(client))!;
  return { before: end, entries: end - from, more: end < bound, closing, digests };
};

export const createPrune =
  ({ alone }: Pick<Commits, "alone">): Prune =>
  (command) =>
    alone(
      async (client) => {
        try {
          return await pruneIn(client, command);
        } catch (cause) {
          if (!(cause instanceof Error && "code" in cause && cause.code === notAllowed)) throw cause;
          const detail = "the role of this service may not prune: it needs `delete` on the table `entry`";
          throw new Problem("conflict", detail, { cause });
        }
      },
      (step) => (desk) => appendPrune(desk, command, step),
      [],
    );
