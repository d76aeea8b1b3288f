/** Entries about the ledger itself: the ends of all chains, so that one can be shown whole without the others; its keys. */
import type { Database } from "better-sqlite3";
import { actRecord } from "../../decision/record.ts";
import { type ChainEnd, headProofs, headsRoot } from "../../ledger/heads.ts";
import type { HeadsCommand, HeadsTaken, LedgerKeyCommand } from "../../ledger/store.ts";
import { chainName } from "./append.ts";
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
    const keys = [agent, ...named.all(agent)].map((name) => `agent:${chainName(name)}`);
    const key = keys.find((wanted) => ends.some((end) => end.key === wanted)) ?? keys[0]!;
    const facts = { chains: ends.length, root: Buffer.from(headsRoot(ends)).toString("base64url") };
    const index = desk.append.entry({
      id,
      at,
      kind: "heads",
      record: (names, detail) =>
        actRecord(names, { kind: "heads", id, at, caller, detail, moves: [], facts }),
      // For whom they were taken may be told of a person.
      body: JSON.stringify({ agent }),
      agents: [],
    });
    return { index, key, lines: headProofs(ends, key) };
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
