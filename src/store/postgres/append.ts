/** Entries on the working set. */
import type { Pseudonyms } from "../../decision/record.ts";
import { pseudonym } from "../../kit/id.ts";
import { facetsOf } from "../../ledger/facets.ts";
import type { EntryRows } from "../acts/append.ts";
import { bytesOf, hexOf } from "./rows.ts";
import type { WorkingSet } from "./working-set.ts";

type NameRow = { name: string; kind: string; type: string; id: string };
type HeadRow = { key: string; count: number; leaf_hash: string };

const namesOf =
  (set: WorkingSet, minted: Map<string, string>): Pseudonyms =>
  (kind, type, id) => {
    const known = set.one<NameRow>("pseudonym", "pseudonym", [kind, type, id], (row) => {
      return row.kind === kind && row.type === type && row.id === id;
    });
    if (known) return known.name;
    const key = JSON.stringify([kind, type, id]);
    const name = minted.get(key) ?? pseudonym();
    minted.set(key, name);
    set.put("pseudonym", { name, kind, type, id });
    return name;
  };

/** The trace that the detail of an entry names. */
const traceOf = (body: string): string | undefined => {
  if (!body.includes('"traceId":')) return undefined;
  const { traceId } = JSON.parse(body) as { traceId?: unknown };
  return typeof traceId === "string" ? traceId : undefined;
};

/** `minted` are new pseudonyms: the same ones when acts are done again, or what is wanted by them would never be found. */
export const entryRows = (set: WorkingSet, minted: Map<string, string>): EntryRows => ({
  insert: ({ index: idx, id, at, kind, leaf, hash, resource, denied, salt, body, rec, agents }) => {
    const bytes = { leaf: hexOf(leaf), leaf_hash: hexOf(hash) };
    set.put("entry", { idx, id, at, kind, ...bytes, resource, denied });
    set.put("detail", { idx, salt: hexOf(salt), body });
    for (const agent of agents) set.put("entry_agent", { agent, idx });
    for (const [facet, value] of facetsOf(rec)) set.put("entry_facet", { kind: facet, value, idx });
    const trace = traceOf(body);
    if (trace !== undefined) set.put("entry_trace", { trace, idx });
  },
  heads: {
    find: (key) => {
      const row = set.one<HeadRow>("chain_head", "head", [key], (each) => each.key === key);
      return row && { count: row.count, hash: bytesOf(row.leaf_hash) };
    },
    put: (key, { count, hash }) => set.put("chain_head", { key, count, leaf_hash: hexOf(hash) }),
  },
  names: namesOf(set, minted),
});
