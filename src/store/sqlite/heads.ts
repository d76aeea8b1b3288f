/** Entries about the ledger itself: the ends of all chains, so that one can be shown whole without the others; its keys. */
import type { Database } from "better-sqlite3";
import type { Micros } from "../../kit/clock.ts";
import { actRecord } from "../../decision/record.ts";
import { type ChainEnd, headProofs, headsRoot } from "../../ledger/heads.ts";
import type { HeadsCommand, HeadsTaken, LedgerKeyCommand } from "../../ledger/store.ts";
import { chainName } from "../../ledger/entry.ts";
import type { Desk } from "./desk.ts";

/** Takes the heads with the desk of this transaction. */
export type TakeHeads = (desk: Desk, command: HeadsCommand) => HeadsTaken;

export const createTakeHeads = (db: Database): TakeHeads => {
  const all = db.prepare<[], { key: string; count: number; last: Buffer }>(
    "select key, count, leaf_hash as last from chain_head",
  );
  const named = db
    .prepare<[string], string>("select name from pseudonym where kind = 'entity' and id = ?")
    .pluck();
  return (desk, { id, at, caller, agent }) => {
    const ends: ChainEnd[] = all.all();
    const names = agent === undefined ? [] : [agent, ...named.all(agent)];
    const keys = names.map((name) => `agent:${chainName(name)}`);
    const key = keys.find((wanted) => ends.some((end) => end.key === wanted)) ?? keys[0];
    const facts = { chains: ends.length, root: Buffer.from(headsRoot(ends)).toString("base64url") };
    const index = desk.append.entry({
      id,
      at,
      kind: "heads",
      record: (names, detail) =>
        actRecord(names, { kind: "heads", id, at, caller, detail, moves: [], facts }),
      // For whom they were taken may be told of a person.
      body: JSON.stringify(agent === undefined ? {} : { agent }),
      agents: [],
    });
    return { index, key: key ?? "", lines: key === undefined ? [] : headProofs(ends, key) };
  };
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

/** Logs a change of the keys. */
export const logKey = (desk: Desk, { id, at, caller, action, key }: LedgerKeyCommand): number =>
  desk.append.entry({
    id,
    at,
    kind: "ledger.key",
    record: (names, detail) =>
      actRecord(names, { kind: "ledger.key", id, at, caller, detail, moves: [], facts: { action, key } }),
    body: "{}",
    agents: [],
  });
