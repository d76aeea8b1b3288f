/** Checks the rows that entries are found by against what the entries themselves say: a search that leaves some out would mislead. */
import type { Database } from "better-sqlite3";
import type { JsonObject } from "../../kit/json.ts";
import type { Closing } from "../../ledger/closing.ts";
import { chainName } from "../../ledger/entry.ts";
import { agentsOf, facetsOf } from "../../ledger/facets.ts";
import { searchState } from "./facets.ts";

type Sum = { count: number; positions: number; squares: number };

/** Which positions a facet has, as sums that a row more, less or elsewhere changes. */
const modulus = 65_521;

export type SearchCheck = {
  /** Takes the next entry, with the keys of its chains. */
  see: (index: number, at: number, entry: { chainKeys: readonly string[]; rec: JsonObject }) => void;
  /** What differs, in words. */
  end: () => string[];
};

/** Sums of positions by name. */
const createSums = () => {
  const sums = new Map<string, Sum>();
  return {
    add: (name: string, { count, positions, squares }: Sum): void => {
      const sum = sums.get(name) ?? { count: 0, positions: 0, squares: 0 };
      sums.set(name, {
        count: sum.count + count,
        positions: sum.positions + positions,
        squares: sum.squares + squares,
      });
    },
    sums,
  };
};

const at = (index: number): Sum => ({
  count: 1,
  positions: index,
  squares: (index % modulus) ** 2 % modulus,
});

const columns = `count(*) as count, sum(idx) as positions, sum((idx % ${modulus}) * (idx % ${modulus}) % ${modulus}) as squares`;

const isSame = (one: Sum, other: Sum | undefined): boolean =>
  one.count === other?.count && one.positions === other.positions && one.squares === other.squares;

/** What is found that shouldn't be, or isn't that should; empties `wanted`. */
const differences = (wanted: Map<string, Sum>, found: Iterable<[string, Sum]>): string[] => {
  const wrong: string[] = [];
  for (const [name, sum] of found) {
    if (!isSame(sum, wanted.get(name)))
      wrong.push(`entries of ${name} are found that aren't, or aren't found`);
    wanted.delete(name);
  }
  for (const name of wanted.keys()) wrong.push(`no entries of ${name} are found`);
  return wrong;
};

function* facetsFound(db: Database): Iterable<[string, Sum]> {
  const rows = db.prepare<[], Sum & { kind: string | null; value: string | null }>(
    `select f.kind, f.value, ${columns} from entry_facet p left join facet f on f.id = p.facet group by p.facet`,
  );
  for (const { kind, value, ...sum } of rows.iterate()) yield [`${kind} ${value}`, sum];
}

/** By the names that entries have for them, whatever an earlier version wrote. */
const agentsFound = (db: Database, size: number): Map<string, Sum> => {
  const { add, sums } = createSums();
  const rows = db.prepare<[number], Sum & { agent: string }>(
    `select agent, ${columns} from entry_agent where idx < ? group by agent`,
  );
  for (const { agent, ...sum } of rows.iterate(size)) add(`agent ${chainName(agent)}`, sum);
  return sums;
};

export const createSearchCheck = (db: Database, closing?: Closing): SearchCheck => {
  const { size, disorder } = searchState(db);
  const facets = createSums();
  const agents = createSums();
  let latest = closing?.latest ?? 0;
  let most = closing?.disorder ?? 0;
  return {
    see: (index, moment, { chainKeys, rec }) => {
      if (index >= size) return;
      most = Math.max(most, latest - moment);
      latest = Math.max(latest, moment);
      for (const [kind, value] of facetsOf(rec)) facets.add(`${kind} ${value}`, at(index));
      for (const agent of agentsOf(chainKeys, rec)) agents.add(`agent ${agent}`, at(index));
    },
    end: () => [
      ...differences(facets.sums, facetsFound(db)),
      ...differences(agents.sums, agentsFound(db, size)),
      ...(most === disorder
        ? []
        : [`entries are out of the order of time by ${most} µs, not by ${disorder}`]),
    ],
  };
};
