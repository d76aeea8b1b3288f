/** Checks the rows that entries are found by against what the entries themselves say: a search that leaves some out would mislead. */
import type { Database } from "better-sqlite3";
import type { JsonObject } from "../../kit/json.ts";
import type { Closing } from "../../ledger/closing.ts";
import { facetsOf } from "../../ledger/facets.ts";
import { searchState } from "./facets.ts";

type Sum = { count: number; positions: number; squares: number };

/** Which positions a facet has, as sums that a row more, less or elsewhere changes. */
const modulus = 65_521;

export type SearchCheck = {
  /** Takes the next entry. */
  see: (index: number, at: number, rec: JsonObject) => void;
  /** What differs, in words. */
  end: () => string[];
};

export const createSearchCheck = (db: Database, closing?: Closing): SearchCheck => {
  const { size, disorder } = searchState(db);
  const wanted = new Map<string, Sum>();
  let latest = closing?.latest ?? 0;
  let most = closing?.disorder ?? 0;
  return {
    see: (index, at, rec) => {
      if (index >= size) return;
      most = Math.max(most, latest - at);
      latest = Math.max(latest, at);
      for (const [kind, value] of facetsOf(rec)) {
        const key = `${kind} ${value}`;
        const sum = wanted.get(key) ?? { count: 0, positions: 0, squares: 0 };
        sum.count++;
        sum.positions += index;
        sum.squares += (index % modulus) ** 2 % modulus;
        wanted.set(key, sum);
      }
    },
    end: () => {
      const rows = db.prepare<[], Sum & { kind: string; value: string }>(
        `select f.kind, f.value, count(*) as count, sum(p.idx) as positions,
           sum((p.idx % ${modulus}) * (p.idx % ${modulus}) % ${modulus}) as squares
         from entry_facet p left join facet f on f.id = p.facet group by p.facet`,
      );
      const wrong: string[] = [];
      for (const { kind, value, ...sum } of rows.iterate()) {
        const key = `${kind} ${value}`;
        const should = wanted.get(key);
        wanted.delete(key);
        if (
          should?.count !== sum.count ||
          should.positions !== sum.positions ||
          should.squares !== sum.squares
        )
          wrong.push(`entries of ${kind} \`${value}\` are found that aren't, or aren't found`);
      }
      for (const key of wanted.keys()) wrong.push(`no entries of ${key} are found`);
      if (most !== disorder)
        wrong.push(`entries are out of the order of time by ${most} µs, not by ${disorder}`);
      return wrong;
    },
  };
};
