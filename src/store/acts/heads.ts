/** Entries about the ledger itself: the ends of all chains, so that one can be shown whole without the others; its keys. */
import { type ChainEnd, headProofs, headsRoot } from "../../ledger/heads.ts";
import type { HeadsCommand, HeadsTaken, LedgerKeyCommand } from "../../ledger/store.ts";
import { chainName } from "../../ledger/entry.ts";
import type { Desk } from "./desk.ts";
import { appendNote } from "./notes.ts";

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
  // For whom they were taken may be told of a person.
  const detail = agent === undefined ? {} : { agent };
  const index = appendNote(desk, { id, at, caller, note: "heads", facts, detail });
  return { index, key: key ?? "", lines: key === undefined ? [] : headProofs(ends, key) };
};

/** Logs a change of the keys. */
export const logKey = (desk: Desk, { action, key, ...who }: LedgerKeyCommand): number =>
  appendNote(desk, { ...who, note: "ledger.key", facts: { action, key }, detail: {} });
