/** What both stores say of pruning: how far it may go, what pruned entries leave behind, and the entry of it. */
import { actRecord } from "../../decision/record.ts";
import type { Micros } from "../../kit/clock.ts";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import { type Closing, closingDigest, pruneKind } from "../../ledger/closing.ts";
import { leafHash } from "../../ledger/entry.ts";
import { hashBytes } from "../../ledger/merkle.ts";
import type { PruneCommand, Pruned } from "../../ledger/store.ts";
import { tileWidth } from "../../ledger/tile.ts";
import { type Leaf, parseLeaf } from "../../ledger/verify.ts";
import type { Desk } from "./desk.ts";
import type { Exported } from "./exported.ts";

const floorToTile = (index: number): number => index - (index % tileWidth);

/** Up to where everything from `from` on was exported, and the digests of those exports. `rows` by their first, the longest before. */
export const exportedUpTo = (rows: Iterable<Exported>, from: number): { end: number; digests: string[] } => {
  let end = from;
  const digests: string[] = [];
  for (const { first, count, digest } of rows) {
    if (first > end) break;
    if (first + count <= end) continue;
    end = first + count;
    digests.push(digest);
  }
  return { end, digests };
};

/** What bounds pruning: what is asked for, what was signed and exported, and the first entry under a legal hold. */
type Bounds = {
  from: number;
  wanted: number;
  signed: number;
  exported: number;
  held: { index: number; hold: string } | undefined;
};

/** Where pruning may go to. @throws Problem `conflict` where that isn't as far as it was asked to, unless that is as far as may be */
export const boundOf = (
  { from, wanted, signed, exported, held }: Bounds,
  { asFarAsMayBe }: PruneCommand,
): number => {
  const asked = floorToTile(Math.min(wanted, signed));
  if (asked <= from) return from;
  if (asFarAsMayBe) return floorToTile(Math.min(asked, exported, held?.index ?? asked));
  if (exported < asked)
    throw new Problem(
      "conflict",
      `entries ${exported} to ${asked - 1} were not exported: with \`remit ledger export\` they are kept elsewhere first`,
    );
  if (held && held.index < asked)
    throw new Problem(
      "conflict",
      `entry ${held.index} is under the legal hold \`${held.hold}\`: entries before ${floorToTile(held.index)} can be pruned`,
    );
  return asked;
};

type Moved = { budget: string; account: string; start: Micros; used?: number; held?: number };

/** What an entry moved. */
export const movesIn = ({ rec }: Leaf): readonly Moved[] =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `movesRecord`
  (rec["moves"] ?? []) as Moved[];

/** Every pseudonym in a record; accounts' are left, as accounts are. */
const pseudonymsIn = (value: JsonValue | undefined, found: Set<string>): void => {
  if (typeof value === "string" && value.startsWith("p_")) found.add(value);
  else if (Array.isArray(value)) for (const item of value) pseudonymsIn(item, found);
  else if (typeof value === "object" && value !== null)
    for (const [name, item] of Object.entries(value)) if (name !== "moves") pseudonymsIn(item, found);
};

/** An entry that is to be pruned. */
export type OldEntry = { idx: number; at: Micros; leaf: Buffer };

/** What is known of all entries that were pruned so far. */
export type PrunedState = Pick<Closing, "before" | "latest" | "disorder">;

type Taken = { state: PrunedState; names: Set<string> };

/**
 * Goes through the entries up to `end` and shows `use` the parts of each; gives what is known of them then. `tile` gives the
 * hashes of a full tile of level 0. What isn't what was signed is kept, for whoever looks into it.
 * @throws Problem `conflict`
 */
export const takeOld = (
  { before, latest, disorder }: PrunedState,
  end: number,
  rows: readonly OldEntry[],
  tile: (index: number) => Uint8Array | undefined,
  use: (index: number, leaf: Leaf, hash: Buffer) => void,
): Taken => {
  const state: PrunedState = { before: end, latest, disorder };
  const names = new Set<string>();
  let next = before;
  for (const { idx, at, leaf } of rows) {
    if (idx !== next) break;
    next++;
    const hash = leafHash(leaf);
    const parsed = parseLeaf(leaf);
    const place = (idx % tileWidth) * hashBytes;
    const signed = tile(Math.floor(idx / tileWidth))?.subarray(place, place + hashBytes);
    if (!parsed || !signed || !hash.equals(signed))
      throw new Problem("conflict", `entry ${idx} is not the one that the tree holds: verify the ledger`);
    use(idx, parsed, hash);
    pseudonymsIn(recordOf(parsed), names);
    state.disorder = Math.max(state.disorder, state.latest - at);
    state.latest = Math.max(state.latest, at);
  }
  if (next !== end) throw new Problem("conflict", `entry ${next} is missing: verify the ledger`);
  return { state, names };
};

/** What an entry says. */
export const recordOf = ({ rec }: Leaf): JsonObject =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it was parsed from JSON
  rec as JsonObject;

/** What a step of pruning came to, before its entry. */
export type PrunedStep = { before: number; entries: number; more: boolean } & (
  | { entries: 0 }
  | { closing: Closing; digests: readonly string[] }
);

/** Appends the entry of a step, which commits to what is left; a step that pruned nothing has none. */
export const appendPrune = (desk: Desk, { id, at, caller }: PruneCommand, step: PrunedStep): Pruned => {
  const { before, entries, more } = step;
  if (!("closing" in step)) return { before, entries, more };
  const facts = {
    before,
    entries,
    closing: closingDigest(step.closing),
    exports: step.digests.slice(0, 20),
  };
  const index = desk.append.entry({
    id,
    at,
    kind: pruneKind,
    record: (pseudonyms, detail) =>
      actRecord(pseudonyms, { kind: pruneKind, id, at, caller, detail, moves: [], facts }),
    body: "{}",
    agents: [],
  });
  return { before, entries, more, index };
};
