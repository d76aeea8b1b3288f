/** Periods of accounts as rows: what a commit moves in them is added up, one write for each period. */
import type { Database, Statement } from "better-sqlite3";
import { assert } from "../../kit/assert.ts";
import type { Move } from "../acts/accounts.ts";
import { createDeferred, type Deferred } from "./deferred.ts";

/** Written by one statement, at most. */
const rowsMax = 32;

/** One move for each period. */
const addedUp = (moves: readonly Move[]): Move[] => {
  const sums = new Map<string, Move>();
  for (const { row, start, used, held } of moves) {
    const key = `${row} ${start}`;
    const sum = sums.get(key);
    if (sum) {
      sum.used += used;
      sum.held += held;
    } else sums.set(key, { row, start, used, held });
  }
  return [...sums.values()];
};

/** Moves in periods, each of which was seen to leave its period a sum that is counted exactly. */
export const createMoves = (db: Database): Deferred<Move> => {
  const statements = new Map<number, Statement<[number[]]>>();
  const max = Number.MAX_SAFE_INTEGER;
  const statementFor = (count: number): Statement<[number[]]> => {
    const known = statements.get(count);
    if (known) return known;
    const rows = Array.from({ length: count }, () => "(?, ?, ?, ?)").join(", ");
    const made = db.prepare<[number[]]>(
      `insert into period (account, start, used, held) values ${rows}
       on conflict do update set used = used + excluded.used, held = held + excluded.held
       where used + excluded.used between -${max} and ${max} and held + excluded.held between -${max} and ${max}`,
    );
    statements.set(count, made);
    return made;
  };
  return createDeferred((moves) => {
    const rows = addedUp(moves);
    for (let from = 0; from < rows.length; from += rowsMax) {
      const some = rows.slice(from, from + rowsMax);
      const values = some.flatMap(({ row, start, used, held }) => [row, start, used, held]);
      assert(
        statementFor(some.length).run(values).changes === some.length,
        "a period exceeds what is counted",
      );
    }
  });
};
