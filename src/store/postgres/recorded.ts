/** Reads decisions of a ledger in PostgreSQL back for judging again, page by page, beside the services that it has. */
import type pg from "pg";
import type { RecordedAct, RecordedFilter, RecordedReader } from "../../decision/store.ts";
import { Problem } from "../../kit/problem.ts";
import { type AccountGrant, gatherActs, type Known, type RecordedRow } from "../acts/recorded.ts";
import { prunedState, readClosing } from "./closing.ts";
import { openReading, snapshot } from "./open.ts";
import { readRows } from "./rows.ts";

type Query = Pick<pg.ClientBase, "query">;

/** Few enough that their details fit into memory. */
const pageEntries = 1000;

type NameRow = { type: string; id: string; name: string };
type RunRow = { id: string; parent: string; started_at: number };

const knownIn = async (client: Query): Promise<Known> => {
  const names = await readRows<NameRow>(
    client,
    "select type, id, name from pseudonym where kind = 'account'",
  );
  const runs = await readRows<RunRow>(
    client,
    "select id, parent, started_at from run where parent is not null",
  );
  const nameOf = new Map(names.map(({ type, id, name }) => [JSON.stringify([type, id]), name]));
  const above = new Map(runs.map((run) => [run.id, run]));
  return {
    closing: (await readClosing(client))?.balances ?? [],
    grants: await readRows<AccountGrant>(
      client,
      `select budget, account, amount, from_at as "from", until_at as until from budget_grant g
       where not exists (select 1 from entry e where e.id = g.id)`,
    ),
    nameOf: (budget, account) => nameOf.get(JSON.stringify([budget, account])),
    parentOf: (id, at) => {
      const run = above.get(id);
      return run && run.started_at <= at ? run.parent : undefined;
    },
  };
};

const within = "kind = 'decision' and at >= $1 and at < $2";

const rangeOf = ({ from, to }: RecordedFilter): [number, number] => [
  from ?? 0,
  to ?? Number.MAX_SAFE_INTEGER,
];

/** The index of the first decision that is wanted. */
const firstOf = async (client: Query, filter: RecordedFilter): Promise<number> => {
  if (filter.last === undefined) return 0;
  const [row] = await readRows<{ first: number | null }>(
    client,
    `select min(idx) as first from (
       select idx from entry where ${within} order by idx desc limit $3) as newest`,
    [...rangeOf(filter), filter.last],
  );
  return row?.first ?? 0;
};

/** What was known at the beginning: entries that come later aren't read. */
type Beginning = { known: Known; first: number; before: number; size: number };

const begin = (pool: pg.Pool, filter: RecordedFilter): Promise<Beginning> =>
  snapshot(pool, async (client) => {
    const [row] = await readRows<{ size: number }>(
      client,
      "select coalesce(max(idx) + 1, 0) as size from entry",
    );
    const { before } = await prunedState(client);
    return {
      known: await knownIn(client),
      first: await firstOf(client, filter),
      before,
      size: row!.size,
    };
  });

async function* actsOf(pool: pg.Pool, filter: RecordedFilter): AsyncGenerator<RecordedAct> {
  const { known, first, before, size } = await begin(pool, filter);
  const { take, end } = gatherActs(known, first, filter);
  for (let next = before; next < size;) {
    const rows = await readRows<RecordedRow>(
      pool,
      `select e.idx, e.id, e.at, e.kind, e.leaf, d.body from entry e left join detail d on d.idx = e.idx
       where e.idx >= $1 and e.idx < $2 order by e.idx limit ${pageEntries}`,
      [next, size],
    );
    // Balances of then are sums over all that came before.
    if (rows[0]?.idx !== next) throw new Problem("conflict", "entries were pruned meanwhile: try again");
    for (const row of rows) yield* take(row);
    next += rows.length;
  }
  yield* end();
}

/** Opens a ledger for reading. @throws Problem `not_ready` where the database can't be used or is of another version */
export const openRecorded = async (url: string): Promise<RecordedReader> => {
  const pool = await openReading(url);
  return {
    count: async (filter) => {
      const [row] = await readRows<{ decisions: number }>(
        pool,
        `select count(*) as decisions from entry where ${within}`,
        rangeOf(filter),
      );
      return filter.last === undefined ? row!.decisions : Math.min(row!.decisions, filter.last);
    },
    acts: (filter) => actsOf(pool, filter),
    pruned: (await prunedState(pool)).before,
    policySet: async (digest) => {
      const [row] = await readRows<{ body: string }>(pool, "select body from policy_set where digest = $1", [
        digest,
      ]);
      if (!row) throw new Problem("not_found", `the policy set \`${digest}\` isn't kept`);
      return row.body;
    },
    close: () => pool.end(),
  };
};
