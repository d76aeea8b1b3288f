/** The ends of all chains as rows, and whether they should be logged. */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import type { ChainEnd } from "../../ledger/heads.ts";
import type { ChainEnds } from "../acts/heads.ts";

export const chainEnds = (db: Database): ChainEnds => {
  const all = db.prepare<[], ChainEnd>("select key, count, leaf_hash as last from chain_head");
  const named = db
    .prepare<[string], string>("select name from pseudonym where kind = 'entity' and id = ?")
    .pluck();
  return { all: () => all.all(), named: (id) => named.all(id) };
};

/** Whether entries came since the ends were last logged, and that is long enough ago. */
export const createHeadsDue = (db: Database): ((at: Micros, intervalMicros: number) => boolean) => {
  const newest = db.prepare<[], { kind: string }>("select kind from entry order by idx desc limit 1");
  const oldestAt = db.prepare<[], number>("select at from entry order by idx limit 1").pluck();
  const lastAt = db
    .prepare<[], number>(
      `select e.at from entry e where e.idx = (select max(p.idx) from entry_facet p
       join facet f on f.id = p.facet where f.kind = 'kind' and f.value = 'heads')`,
    )
    .pluck();
  return (at, intervalMicros) => {
    const kind = newest.get()?.kind;
    if (kind === undefined || kind === "heads") return false;
    return at - (lastAt.get() ?? oldestAt.get() ?? at) >= intervalMicros;
  };
};
