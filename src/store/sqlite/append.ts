/** Appends entries: the next index, the links of its chains, leaf, detail and index rows, inside the act's transaction. */
import type { Database } from "better-sqlite3";
import type { Pseudonyms } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import { freshBytes } from "../../kit/random.ts";
import { detailCommitment, leafBytesMax, leafHash, leafOf, nameFits } from "../../ledger/entry.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import { prunedBefore } from "./closing.ts";
import { createChains } from "./chains.ts";
import { createPseudonyms } from "./pseudonyms.ts";

export type NewEntry = {
  id: string;
  at: Micros;
  kind: EntryKind;
  /** The record for good: without personal data, but with the commitment to the detail. */
  record: (pseudonyms: Pseudonyms, detail: string) => JsonObject;
  /** The detail, which an erasure may delete. */
  body: string;
  /** Registered agents, by pseudonym where their type is personal, and flagged labels: each has a chain of its own. */
  agents: readonly string[];
  labels?: readonly string[];
  denied?: boolean;
};

export type Append = {
  /** Appends an entry and gives its index. */
  entry: (entry: NewEntry) => number;
  /** The index of the next one. */
  next: () => number;
  names: Pseudonyms;
};

/** A ledger with a hole can't be extended consistently: entries were taken away. */
export const nextIndex = (db: Database): number => {
  const { count, last } = db
    .prepare<[], { count: number; last: number | null }>(
      "select count(*) as count, max(idx) as last from entry",
    )
    .get()!;
  const pruned = prunedBefore(db);
  const next = (last ?? -1) + 1;
  if (count !== next - pruned)
    throw new Problem("not_ready", `the ledger holds ${count} entries, but its last index is ${last}`);
  return next;
};

/** A chain's key has bounds, as a leaf has; a longer name goes by its digest. */
export const chainName = (name: string): string =>
  nameFits(name) ? name : leafHash(Buffer.from(name, "utf8")).toString("hex");

type Ref = { p?: string; type?: string; id?: string };

const nameOf = ({ p, type, id }: Ref): string => p ?? `${type}::${id}`;

/** What it remembers between acts is wrong once one is rolled back: make another then. `next` as `nextIndex` gives it. */
export const createAppend = (db: Database, from: number): Append => {
  const insertEntry = db.prepare(
    "insert into entry (idx, id, at, kind, leaf, leaf_hash, resource, denied) values (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const insertDetail = db.prepare("insert into detail (idx, salt, body) values (?, ?, ?)");
  const insertAgent = db.prepare("insert or ignore into entry_agent (agent, idx) values (?, ?)");
  const names = createPseudonyms(db);
  const chains = createChains(db);
  let next = from;
  const entry: Append["entry"] = ({ id, at, kind, record, body, agents, labels = [], denied = false }) => {
    const index = next++;
    const salt = freshBytes(16);
    const rec = record(names, detailCommitment(salt, body));
    const keys = [
      ...agents.map((agent) => `agent:${chainName(agent)}`),
      ...labels.map((label) => `label:${chainName(label)}`),
    ];
    const leaf = leafOf(chains.links(keys), rec);
    if (leaf.length > leafBytesMax)
      throw new Error(`an entry of ${leaf.length} bytes exceeds ${leafBytesMax}`);
    const hash = leafHash(leaf);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `recordOf`
    const resource = rec["resource"] as Ref | undefined;
    insertEntry.run(index, id, at, kind, leaf, hash, resource ? nameOf(resource) : null, denied ? 1 : 0);
    insertDetail.run(index, salt, body);
    chains.extend(keys, hash);
    for (const agent of actingIn(rec, agents)) insertAgent.run(agent, index);
    return index;
  };
  return { entry, next: () => next, names };
};

/** Everyone an entry concerns as an agent, by id or, where the record has one, by pseudonym. */
const actingIn = (rec: JsonObject, agents: readonly string[]): string[] => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `recordOf`
  const actors = (rec["actors"] ?? []) as Ref[];
  return [...new Set([...agents, ...actors.map(({ p, id }) => p ?? id ?? "")])];
};
