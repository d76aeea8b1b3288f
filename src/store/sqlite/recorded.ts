/** Reads decisions of a ledger's file back for judging again. Opens it for reading alone, beside a service or without one. */
import type { Database } from "better-sqlite3";
import type { RecordedAct, RecordedFilter, RecordedReader } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { type AccountGrant, gatherActs, type Known, type RecordedRow } from "../acts/recorded.ts";
import { Sqlite } from "./driver.ts";
import { prunedBefore, readClosing } from "./closing.ts";
import { newestVersion } from "./schema.ts";

const knownIn = (db: Database): Known => {
  const name = db
    .prepare<[string, string], string>(
      "select name from pseudonym where kind = 'account' and type = ? and id = ?",
    )
    .pluck();
  const parent = db
    .prepare<[string, Micros], string | null>("select parent from run where id = ? and started_at <= ?")
    .pluck();
  return {
    closing: readClosing(db)?.balances ?? [],
    grants: db
      .prepare<[], AccountGrant>(
        `select budget, account, amount, from_at as "from", until_at as until from budget_grant g
         where not exists (select 1 from entry e where e.id = g.id)`,
      )
      .all(),
    nameOf: (budget, account) => name.get(budget, account),
    parentOf: (run, at) => parent.get(run, at) ?? undefined,
  };
};

const within = ({ from, to }: RecordedFilter): string =>
  `kind = 'decision' and at >= ${from ?? 0} and at < ${to ?? Number.MAX_SAFE_INTEGER}`;

/** The index of the first decision that is wanted. */
const firstOf = (db: Database, filter: RecordedFilter): number => {
  if (filter.last === undefined) return 0;
  const first = db
    .prepare<[number], number>(
      `select min(idx) from (select idx from entry where ${within(filter)} order by idx desc limit ?)`,
    )
    .pluck()
    .get(filter.last);
  return first ?? 0;
};

function* actsOf(db: Database, filter: RecordedFilter): Generator<RecordedAct> {
  const { take, end } = gatherActs(knownIn(db), firstOf(db, filter), filter);
  const rows = db.prepare<[], RecordedRow>(
    "select e.idx, e.id, e.at, e.kind, e.leaf, d.body from entry e left join detail d on d.idx = e.idx order by e.idx",
  );
  for (const row of rows.iterate()) yield* take(row);
  yield* end();
}

type FileReader = Omit<RecordedReader, "acts" | "close"> & {
  acts: (filter: RecordedFilter) => Iterable<RecordedAct>;
  close: () => void;
};

/** Opens a ledger for reading. @throws Problem `not_found` where there is none, `not_ready` where it is of another version */
export const openRecorded = (file: string): FileReader => {
  let db: Database;
  try {
    db = new Sqlite(file, { readonly: true, fileMustExist: true });
  } catch (error) {
    throw new Problem("not_found", `there is no ledger at \`${file}\``, { cause: error });
  }
  const version = Number(db.pragma("user_version", { simple: true }));
  if (version !== newestVersion) {
    db.close();
    const detail = `the ledger is of version ${version}, this is for ${newestVersion}: start the service once`;
    throw new Problem("not_ready", detail);
  }
  const source = db.prepare<[string], string>("select body from policy_set where digest = ?").pluck();
  return {
    count: (filter) => {
      const all = db
        .prepare<[], number>(`select count(*) from entry where ${within(filter)}`)
        .pluck()
        .get()!;
      return filter.last === undefined ? all : Math.min(all, filter.last);
    },
    acts: (filter) => actsOf(db, filter),
    pruned: prunedBefore(db),
    policySet: (digest) => {
      const body = source.get(digest);
      if (body === undefined) throw new Problem("not_found", `the policy set \`${digest}\` isn't kept`);
      return body;
    },
    close: () => void db.close(),
  };
};
