/** Entries about the ledger itself: the ends of all chains, so that one can be shown whole without the others; its keys. */
import { actRecord } from "../../decision/record.ts";
import { type ChainEnd, headProofs, headsRoot } from "../../ledger/heads.ts";
import type { HeadsCommand, HeadsTaken, LedgerKeyCommand } from "../../ledger/store.ts";
import { chainName } from "../../ledger/entry.ts";
import type { Desk } from "./desk.ts";

/** What is read of all chains at once. */
export type ChainEnds = {
  all: () => ChainEnd[];
  /** What an agent of this id goes by, where its type is personal. */
  named: (id: string) => string[];
};

/** Logs the ends of all chains, and shows which is an agent's. */
export const takeHeads = (desk: Desk, { id, at, caller, agent }: HeadsCommand): HeadsTaken => {
  const ends = desk.chainEnds.all();
  const names = agent === undefined ? [] : [agent, ...desk.chainEnds.named(agent)];
  const keys = names.map((name) => `agent:${chainName(name)}`);
  const key = keys.find((wanted) => ends.some((end) => end.key === wanted)) ?? keys[0];
  const facts = { chains: ends.length, root: Buffer.from(headsRoot(ends)).toString("base64url") };
  const index = desk.append.entry({
    id,
    at,
    kind: "heads",
    record: (names, detail) => actRecord(names, { kind: "heads", id, at, caller, detail, moves: [], facts }),
    // For whom they were taken may be told of a person.
    body: JSON.stringify(agent === undefined ? {} : { agent }),
    agents: [],
  });
  return { index, key: key ?? "", lines: key === undefined ? [] : headProofs(ends, key) };
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
