/** Holds as rows: written with the decision, found and rewritten by what comes after. */
import type { Database } from "better-sqlite3";
import type { Amounts, HoldState } from "../../budget/budget.ts";
import type { Hold, HoldLine } from "../../budget/hold.ts";
import type { Price } from "../../budget/prices.ts";
import type { Dimensions } from "../../decision/question.ts";
import type { Micros } from "../../kit/clock.ts";

/** A hold, and whose consumption it is. */
export type KeptHold = Hold & { dimensions: Dimensions; agents: string[] };

export type Holds = {
  insert: (hold: KeptHold) => void;
  find: (id: string) => KeptHold | undefined;
  update: (hold: Hold) => void;
  /** Ids of open holds whose time is over. */
  expired: (at: Micros, limit: number) => string[];
  ofDecision: (decision: string) => string | undefined;
  /** Ids of open holds of these agents, by the names that their holds have; of all agents without any. */
  openOfAgents: (names: readonly string[] | undefined) => string[];
  /** Ids of open holds of a run and of those below it. */
  openOfRun: (run: string) => string[];
};

type Row = {
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
};

type LineRow = {
  account: number;
  start: number;
  unit: string;
  held: number;
  charged: number;
  on_lapse: "charge" | "release";
};

const lineOf = ({ account, on_lapse, ...row }: LineRow): HoldLine => ({
  row: account,
  ...row,
  onLapse: on_lapse,
});

const holdOf = (row: Row, lines: HoldLine[]): KeptHold => ({
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
  lines,
});

const openHolds = (db: Database): Pick<Holds, "openOfAgents" | "openOfRun"> => {
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
    openOfAgents: (names) =>
      names ? openOf.all(JSON.stringify(names), JSON.stringify(names)) : openOfAny.all(),
    openOfRun: (run) => openOfRun.all(run),
  };
};

export const createHolds = (db: Database): Holds => {
  const insert = db.prepare(
    `insert into hold (id, decision, caller, state, created_at, expires_at, amounts, settled, priced, dimensions, agents, run)
     values (?, ?, ?, 'open', ?, ?, ?, '{}', ?, ?, ?, ?)`,
  );
  const insertLine = db.prepare(
    "insert into hold_line (hold, account, start, unit, held, charged, on_lapse) values (?, ?, ?, ?, ?, 0, ?)",
  );
  const find = db.prepare<[string], Row>("select * from hold where id = ?");
  const lines = db.prepare<[string], LineRow>(
    "select account, start, unit, held, charged, on_lapse from hold_line where hold = ?",
  );
  const update = db.prepare(
    "update hold set state = ?, expires_at = ?, amounts = ?, settled = ?, late = ?, overrun = ?, frozen = ? where id = ?",
  );
  const updateLine = db.prepare(
    "update hold_line set held = ?, charged = ?, on_lapse = ? where hold = ? and account = ? and start = ?",
  );
  const expired = db
    .prepare<[Micros, number], string>(
      "select id from hold where state = 'open' and expires_at <= ? order by expires_at limit ?",
    )
    .pluck();
  const ofDecision = db.prepare<[string], string>("select id from hold where decision = ?").pluck();
  return {
    insert: (hold) => {
      const { id, decision, caller, createdAt, expiresAt, amounts, price, dimensions, agents, run } = hold;
      insert.run(
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
      );
      for (const line of hold.lines)
        insertLine.run(id, line.row, line.start, line.unit, line.held, line.onLapse);
    },
    find: (id) => {
      const row = find.get(id);
      return row && holdOf(row, lines.all(id).map(lineOf));
    },
    update: ({ id, state, expiresAt, amounts, settled, late, overrun, frozen, lines: changed }) => {
      update.run(
        state,
        expiresAt,
        JSON.stringify(amounts),
        JSON.stringify(settled),
        late ? 1 : 0,
        overrun ? 1 : 0,
        frozen ? 1 : 0,
        id,
      );
      for (const { row, start, held, charged, onLapse } of changed)
        updateLine.run(held, charged, onLapse, id, row, start);
    },
    expired: (at, limit) => expired.all(at, limit),
    ofDecision: (decision) => ofDecision.get(decision),
    ...openHolds(db),
  };
};

/** The agents of a hold by their ids: where the hold names a pseudonym, that for which it stands. */
export const agentsOfHold = (db: Database): ((hold: string) => string[]) => {
  const agents = db.prepare<[string], string>("select agents from hold where id = ?").pluck();
  const nameOf = db
    .prepare<[string], string>("select id from pseudonym where name = ? and kind = 'entity'")
    .pluck();
  return (hold) => {
    const names = JSON.parse(agents.get(hold) ?? "[]") as string[];
    return names.map((name) => nameOf.get(name) ?? name);
  };
};
