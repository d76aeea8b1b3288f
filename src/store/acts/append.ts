/** Appends entries: the next index, the links of its chains, leaf, detail and index rows, inside an act. */
import type { Pseudonyms } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject } from "../../kit/json.ts";
import { freshBytes } from "../../kit/random.ts";
import { chainName, detailCommitment, leafBytesMax, leafHash, leafOf } from "../../ledger/entry.ts";
import { agentsOf } from "../../ledger/facets.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import { chainLinks, extendChains, type HeadRows } from "./chains.ts";

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

/** An entry as a store keeps it; all but `leaf`, `salt` and `body` can be derived from the leaf. */
export type EntryRow = {
  index: number;
  id: string;
  at: Micros;
  kind: EntryKind;
  leaf: Uint8Array;
  hash: Uint8Array;
  resource: string | null;
  denied: boolean;
  salt: Uint8Array;
  body: string;
  /** What the leaf says of it. */
  rec: JsonObject;
  /** Everyone it concerns as an agent, as `agentsOf` names them. */
  agents: readonly string[];
};

/** What a store keeps of entries. */
export type EntryRows = { insert: (entry: EntryRow) => void; heads: HeadRows; names: Pseudonyms };

type Ref = { p?: string; type?: string; id?: string };

const nameOf = ({ p, type, id }: Ref): string => p ?? `${type}::${id}`;

/** Appends from the index `from` on. */
export const createAppend = ({ insert, heads, names }: EntryRows, from: number): Append => {
  let next = from;
  const entry: Append["entry"] = ({ id, at, kind, record, body, agents, labels = [], denied = false }) => {
    const index = next++;
    const salt = freshBytes(16);
    const rec = record(names, detailCommitment(salt, body));
    const keys = [
      ...agents.map((agent) => `agent:${chainName(agent)}`),
      ...labels.map((label) => `label:${chainName(label)}`),
    ];
    const leaf = leafOf(chainLinks(heads, keys), rec);
    if (leaf.length > leafBytesMax)
      throw new Error(`an entry of ${leaf.length} bytes exceeds ${leafBytesMax}`);
    const hash = leafHash(leaf);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `recordOf`
    const named = rec["resource"] as Ref | undefined;
    const resource = named ? nameOf(named) : null;
    const agentNames = agentsOf(keys, rec);
    insert({ index, id, at, kind, leaf, hash, resource, denied, salt, body, rec, agents: agentNames });
    extendChains(heads, keys, hash);
    return index;
  };
  return { entry, next: () => next, names };
};
