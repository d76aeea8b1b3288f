/** Holds as rows, each with its lines: written with the decision, found and rewritten by what comes after. */
import type { Database } from "better-sqlite3";
import type { Amounts, HoldState } from "../../budget/budget.ts";
import type { HoldLine } from "../../budget/hold.ts";
import type { Price } from "../../budget/prices.ts";
import type { Dimensions } from "../../decision/question.ts";
import { assert } from "../../kit/assert.ts";
import type { Micros } from "../../kit/clock.ts";
import type { Holds, KeptHold } from "../acts/holds.ts";
import { createDeferred, type Deferred } from "./deferred.ts";

/** Where the row of an id is, if the id is of this form. */
const indexIn = (id: string): number | undefined => {
  const [, digits] = /^hold_([0-9a-z]{1,10})_/.exec(id) ?? [];
  return digits === undefined ? undefined : Number.parseInt(digits, 36);
};

/** The id of the hold of a decision. */
export const holdOfDecision = "select h.id from entry e join hold h on h.n = e.idx where e.id = ?";

type Row = {
  n: number;
  id: string;
  decision: string;
  caller: string;
  state: HoldState;
  created_at: number;
  expires_at: number;
  amounts: string;
  settled: string;
  priced: string | null;
  dimensions: string;
  agents: string;
  run: string | null;
  late: number;
  overrun: number;
  frozen: number;
  lines: string;
};

/** A line as the row holds it; `auditBalances` reads it by position. */
type LineText = [
  account: number,
  start: Micros,
  unit: string,
  held: number,
  charged: number,
  onLapse: HoldLine["onLapse"],
];

const linesText = (lines: readonly HoldLine[]): string =>
  JSON.stringify(
    lines.map(({ row, start, unit, held, charged, onLapse }): LineText => {
      assert(held >= 0 && charged >= 0, "a hold was to hold or charge less than nothing");
      return [row, start, unit, held, charged, onLapse];
    }),
  );

const linesOf = (text: string): HoldLine[] =>
  (JSON.parse(text) as LineText[]).map(([row, start, unit, held, charged, onLapse]) => ({
    row,
    start,
    unit,
    held,
    charged,
    onLapse,
  }));

const holdOf = (row: Row): KeptHold => ({
  id: row.id,
  decision: row.decision,
  caller: row.caller,
  state: row.state,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  amounts: JSON.parse(row.amounts) as Amounts,
  settled: JSON.parse(row.settled) as Amounts,
  late: row.late === 1,
  overrun: row.overrun === 1,
  ...(row.frozen === 1 ? { frozen: true } : {}),
  ...(row.priced === null ? {} : { price: JSON.parse(row.priced) as Price }),
  ...(row.run === null ? {} : { run: row.run }),
  dimensions: JSON.parse(row.dimensions) as Dimensions,
  agents: JSON.parse(row.agents) as string[],
  lines: linesOf(row.lines),
});

const openHolds = (db: Database, begun: Deferred<NewHold>): Pick<Holds, "openOfAgents" | "openOfRun"> => {
  const openOf = db
    .prepare<[string, string], string>(
      `select id from hold where state = 'open' and (
         exists (select 1 from json_each(agents) a where a.value in (select value from json_each(?)))
         or json_extract(dimensions, '$.agent') in (select value from json_each(?)))`,
    )
    .pluck();
  const openOfAny = db
    .prepare<[], string>(
      "select id from hold where state = 'open' and (agents <> '[]' or json_extract(dimensions, '$.agent') is not null)",
    )
    .pluck();
  const openOfRun = db
    .prepare<[string], string>(
      `with recursive below (id) as (select ? union select run.id from run join below on run.parent = below.id)
       select id from hold where state = 'open' and run in (select id from below)`,
    )
    .pluck();
  return {
    openOfAgents: (names) => {
      begun.write();
      return names ? openOf.all(JSON.stringify(names), JSON.stringify(names)) : openOfAny.all();
    },
    openOfRun: (run) => {
      begun.write();
      return openOfRun.all(run);
    },
  };
};

const rowFinder = (db: Database): ((id: string) => Row | undefined) => {
  const find = db.prepare<[number, string], Row>("select * from hold where n = ? and id = ?");
  const findBefore = db.prepare<[string], Row>("select * from hold where id = ? and before = 1");
  return (id) => {
    const index = indexIn(id);
    return (index === undefined ? undefined : find.get(index, id)) ?? findBefore.get(id);
  };
};

/** A hold that begins, under the index of its decision. */
export type NewHold = { index: number; hold: KeptHold };

/** Holds that begin. */
export const createNewHolds = (db: Database): Deferred<NewHold> => {
  const insert = db.prepare(
    `insert into hold (n, id, decision, caller, state, created_at, expires_at, amounts, settled, priced, dimensions, agents, run, lines)
     values (?, ?, ?, ?, 'open', ?, ?, ?, '{}', ?, ?, ?, ?, ?)`,
  );
  return createDeferred((begun) => {
    for (const { index, hold } of begun) {
      const { id, decision, caller, createdAt, expiresAt, amounts, price, dimensions, agents, run, lines } =
        hold;
      insert.run(
        index,
        id,
        decision,
        caller,
        createdAt,
        expiresAt,
        JSON.stringify(amounts),
        price ? JSON.stringify(price) : null,
        JSON.stringify(dimensions),
        JSON.stringify(agents),
        run ?? null,
        linesText(lines),
      );
    }
  });
};

export const createHolds = (db: Database, begun: Deferred<NewHold>): Holds => {
  const rowOf = rowFinder(db);
  const update = db.prepare(
    "update hold set state = ?, expires_at = ?, amounts = ?, settled = ?, late = ?, overrun = ?, frozen = ?, lines = ? where n = ?",
  );
  const expired = db
    .prepare<[Micros, number], string>(
      "select id from hold where state = 'open' and expires_at <= ? order by expires_at limit ?",
    )
    .pluck();
  const ofDecision = db.prepare<[string], string>(holdOfDecision).pluck();
  return {
    insert: (index, hold) => begun.add({ index, hold }),
    find: (id) => {
      begun.write();
      const row = rowOf(id);
      return row && holdOf(row);
    },
    update: ({ id, state, expiresAt, amounts, settled, late, overrun, frozen, lines }) => {
      begun.write();
      update.run(
        state,
        expiresAt,
        JSON.stringify(amounts),
        JSON.stringify(settled),
        late ? 1 : 0,
        overrun ? 1 : 0,
        frozen ? 1 : 0,
        linesText(lines),
        rowOf(id)!.n,
      );
    },
    expired: (at, limit) => {
      begun.write();
      return expired.all(at, limit);
    },
    ofDecision: (decision) => {
      begun.write();
      return ofDecision.get(decision);
    },
    ...openHolds(db, begun),
  };
};

/** The agents of a hold by their ids: where the hold names a pseudonym, that for which it stands. */
export const agentsOfHold = (db: Database): ((hold: string) => string[]) => {
  const rowOf = rowFinder(db);
  const nameOf = db
    .prepare<[string], string>("select id from pseudonym where name = ? and kind = 'entity'")
    .pluck();
  return (hold) => {
    const names = JSON.parse(rowOf(hold)?.agents ?? "[]") as string[];
    return names.map((name) => nameOf.get(name) ?? name);
  };
};

/** All holds, whatever became of them. */
export function* keptHolds(db: Database): Generator<KeptHold> {
  for (const row of db.prepare<[], Row>("select * from hold").iterate()) yield holdOf(row);
}
