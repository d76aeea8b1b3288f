/**
 * Checks entries as they come by, from their bytes alone: order, hashes, links, heads, and the roots that were signed
 * of them. What is wrong is named, with the first entry that it is wrong with.
 */
import { z } from "zod";
import { type Closing, closingDigest, pruneKind } from "./closing.ts";
import type { TreeHead } from "./checkpoint.ts";
import { leafBytesMax, leafHash } from "./entry.ts";
import { type ChainEnd, headsRoot } from "./heads.ts";
import { createEdge, type GrownTile, tileWidth } from "./tile.ts";

/** What can be wrong. */
export type FaultKind =
  | "entry_missing"
  | "entry_out_of_order"
  | "entry_altered"
  | "entry_malformed"
  | "entry_mismatch"
  | "chain_broken"
  | "heads_wrong"
  | "tile_altered"
  | "checkpoint_forged"
  | "checkpoint_mismatch"
  | "balance_wrong"
  | "closing_wrong"
  | "evidence_incomplete"
  | "unreadable";

/** `index` is the entry it is wrong with, where one can be named. */
export type Fault = { kind: FaultKind; index?: number; message: string };

/** Moves of one window of an account, summed. */
export type Sums = Map<string, { used: number; held: number }>;

/** The parts of an entry that checking needs. */
export type Leaf = {
  chain: { k: string; n: number; p: string }[];
  rec: Record<string, unknown> & { kind: string; id: string; ts: string };
};

const leafShape: z.ZodType<Leaf> = z.object({
  chain: z.array(z.strictObject({ k: z.string(), n: z.number(), p: z.string() })),
  rec: z.looseObject({ kind: z.string(), id: z.string(), ts: z.string() }),
});

const moveShape = z.object({
  budget: z.string(),
  account: z.string(),
  start: z.number(),
  used: z.number().default(0),
  held: z.number().default(0),
});

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** An entry's parts; undefined where its bytes are no entry. */
export const parseLeaf = (leaf: Uint8Array): Leaf | undefined => {
  if (leaf.length > leafBytesMax) return undefined;
  try {
    const parsed = leafShape.safeParse(JSON.parse(utf8.decode(leaf)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
};

/** How far an entry may be dated before one that stands before it: questions that arrive together overtake one another. */
export const disorderMsMax = 60_000;

const faultsMax = 1000;

/** Where an entry came by, and what others say of it. */
export type SeenEntry = { index: number; leaf: Uint8Array; leafHash?: Uint8Array; tileHash?: Uint8Array };

export type Verifier = {
  /** Takes the next entry; gives its parts, for checks beyond these. */
  entry: (seen: SeenEntry) => Leaf | undefined;
  /** Takes the hash of the next pruned entry. */
  pruned: (hash: Uint8Array) => void;
  fault: (fault: Fault) => void;
  /** Everything came by. */
  end: () => Verified;
};

export type Verified = {
  faults: Fault[];
  /** Faults beyond those that are told. */
  more: number;
  notes: string[];
  /** One more than the last index. */
  size: number;
  hashes: Uint8Array[];
  sums: Sums;
  chains: ReadonlyMap<string, ChainEnd>;
};

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** The key of a window among sums. */
export const sumKey = (budget: string, account: string, start: number): string =>
  JSON.stringify([budget, account, start]);

const addMoves = (sums: Sums, rec: Leaf["rec"]): boolean => {
  if (rec["moves"] === undefined) return true;
  const moves = z.array(moveShape).safeParse(rec["moves"]);
  if (!moves.success) return false;
  for (const { budget, account, start, used, held } of moves.data) {
    const key = sumKey(budget, account, start);
    const sum = sums.get(key) ?? { used: 0, held: 0 };
    sums.set(key, { used: sum.used + used, held: sum.held + held });
  }
  return true;
};

/** The sums to begin with where entries were pruned. */
export const closingSums = (closing: Closing | undefined): Sums =>
  new Map(
    (closing?.balances ?? []).map(({ budget, account, start, used, held }) => [
      sumKey(budget, account, start),
      { used, held },
    ]),
  );

type Chains = Map<string, ChainEnd & { index: number }>;

/** Follows the links of an entry. A ledger that is seen from the middle only begins with links to what isn't seen. */
const followLinks = (
  chains: Chains,
  whole: boolean,
  { index, links, hash }: { index: number; links: Leaf["chain"]; hash: Uint8Array },
): Fault[] =>
  links.flatMap(({ k, n, p }): Fault[] => {
    const before = chains.get(k);
    chains.set(k, { key: k, count: n, last: hash, index });
    if (!before && !whole) return [];
    if (n !== (before?.count ?? 0) + 1)
      return [
        {
          kind: "chain_broken",
          index,
          message: `it is number ${n} of \`${k}\`, after ${before?.count ?? 0}`,
        },
      ];
    if (p === (before ? Buffer.from(before.last).toString("base64url") : "")) return [];
    return [
      {
        kind: "chain_broken",
        index: before?.index ?? index,
        message: `it isn't the entry that entry ${index} was linked to as the one before on \`${k}\``,
      },
    ];
  });

type Place = {
  first: number;
  /** What is left of the entries before the first: the rest is then checked as part of a whole. */
  closing?: Closing | undefined;
  heads: readonly TreeHead[];
  /** Keeps the leaf hashes, for the proof of a part of the ledger. */
  keepHashes?: boolean;
  /** Hears of each tile that the entries make, while none is missing. */
  tile?: (tile: GrownTile, size: number) => void;
};

type Tell = (fault: Fault) => void;

/** Compares the tree that the entries make with what was signed of it and what is kept of it. */
const createComparison = (
  { heads, tile }: Place,
  fault: Tell,
): { add: (hash: Buffer) => void; end: (size: number) => void } => {
  const edge = createEdge();
  const due = heads.toSorted((a, b) => a.size - b.size);
  let agreed = 0;
  const compare = (): void => {
    for (let head = due[0]; head && head.size <= edge.size(); head = due[0]) {
      due.shift();
      if (same(head.root, edge.root())) agreed = head.size;
      else
        fault({
          kind: "checkpoint_mismatch",
          message: `the first ${head.size} entries are not those that a checkpoint was signed of; those before entry ${agreed} are`,
        });
    }
  };
  compare();
  return {
    add: (hash) => {
      edge.append(hash);
      if (edge.size() % tileWidth === 0) for (const grown of edge.drain()) tile?.(grown, edge.size());
      compare();
    },
    end: (size) => {
      for (const head of due.splice(0))
        if (head.size > size)
          fault({
            kind: "entry_missing",
            index: size,
            message: `it and those up to ${head.size - 1} are missing: a checkpoint of ${head.size} entries was signed`,
          });
    },
  };
};

/** Says when an entry is dated well before one that stands before it. */
const createDates = (note: (text: string) => void, fault: Tell): ((index: number, ts: string) => void) => {
  let latestMs = 0;
  return (index, ts) => {
    const ms = Date.parse(ts);
    if (Number.isNaN(ms)) fault({ kind: "entry_malformed", index, message: `its time \`${ts}\` is none` });
    else if (ms < latestMs - disorderMsMax)
      note(
        `entry ${index} is dated ${Math.round((latestMs - ms) / 1000)} s before an entry that stands before it`,
      );
    else latestMs = Math.max(latestMs, ms);
  };
};

/** What is wrong with a place in the order, if anything is. */
const placeFault = (index: number, next: number): Fault | undefined => {
  if (index === next) return undefined;
  if (index < next)
    return { kind: "entry_out_of_order", index, message: `it stands after entry ${next - 1}` };
  const message = index === next + 1 ? "it is missing" : `it and those up to ${index - 1} are missing`;
  return { kind: "entry_missing", index: next, message };
};

type ClosingProof = {
  see: (index: number, rec: Leaf["rec"]) => void;
  end: () => { note?: string; wrong?: Fault };
};

/** Looks for the entry that says what was pruned, and compares what is left of it. */
const createClosingProof = (closing: Closing | undefined): ClosingProof => {
  const wanted = closing && closingDigest(closing);
  let said: number | undefined;
  let wrong: Fault | undefined;
  let noted = false;
  return {
    see: (index, { before, closing: digest }) => {
      if (before !== closing?.before) return;
      said = index;
      if (digest !== wanted)
        wrong = {
          kind: "closing_wrong",
          index,
          message: "the balances and ends of chains that it closed are not those that are kept",
        };
    },
    end: () => {
      if (!closing) return {};
      const { before } = closing;
      if (said === undefined && noted) return {};
      if (said === undefined) {
        noted = true;
        return {
          wrong: {
            kind: "entry_missing",
            index: 0,
            message: `it and those up to ${before - 1} are missing, and no entry says that they were pruned`,
          },
        };
      }
      const note = `${before} entries pruned, hashes kept, closing balances from entry ${said}`;
      // Told once, however often the end is asked for.
      const found = wrong;
      wrong = undefined;
      const told = noted ? {} : { note };
      noted = true;
      return found ? { ...told, wrong: found } : told;
    },
  };
};

const notesMax = 10;

/** A verifier of the entries from `first` on. `heads` are signed; those of a whole ledger are compared on the way. */
export const createVerifier = (where: Place): Verifier => {
  const { first, closing, keepHashes = false } = where;
  const whole = first === 0 || closing?.before === first;
  const faults: Fault[] = [];
  const notes: string[] = [];
  const chains: Chains = new Map((closing?.chains ?? []).map((end) => [end.key, { ...end, index: first }]));
  const sums: Sums = closingSums(closing);
  const hashes: Uint8Array[] = [];
  let [next, more, gapless] = [first, 0, true];
  const fault: Tell = (found) => {
    if (faults.length < faultsMax) faults.push(found);
    else more++;
  };
  const tree = createComparison(whole ? where : { first, heads: [] }, fault);
  const date = createDates((text) => notes.length < notesMax && notes.push(text), fault);
  const proof = createClosingProof(closing);
  const inspect = (index: number, leaf: Uint8Array, hash: Uint8Array): Leaf | undefined => {
    const parsed = parseLeaf(leaf);
    if (!parsed) {
      fault({ kind: "entry_malformed", index, message: "its bytes are no entry" });
      return undefined;
    }
    const { chain, rec } = parsed;
    if (closing && rec.kind === pruneKind) proof.see(index, rec);
    const told = whole && rec.kind === "heads" ? headsRoot([...chains.values()]) : undefined;
    if (told && rec["root"] !== Buffer.from(told).toString("base64url"))
      fault({
        kind: "heads_wrong",
        index,
        message: "the ends of chains that it tells are not those of the entries before",
      });
    for (const found of followLinks(chains, whole, { index, links: chain, hash })) fault(found);
    date(index, rec.ts);
    if (!addMoves(sums, rec)) fault({ kind: "entry_malformed", index, message: "its moves can't be read" });
    return parsed;
  };
  return {
    fault,
    entry: ({ index, leaf, leafHash: claimed, tileHash }) => {
      const misplaced = placeFault(index, next);
      if (misplaced) fault(misplaced);
      next = Math.max(next, index + 1);
      gapless &&= misplaced === undefined;
      const hash = leafHash(leaf);
      if (claimed && !same(claimed, hash))
        fault({ kind: "entry_altered", index, message: "its bytes are not those that its leaf hash is of" });
      else if (tileHash && !same(tileHash, hash))
        fault({
          kind: "entry_altered",
          index,
          message: "it is not the entry that the tree holds in its place",
        });
      // Behind a gap everything differs, and nothing of it says more than the gap.
      if (gapless) tree.add(hash);
      if (keepHashes) hashes.push(hash);
      return inspect(index, leaf, hash);
    },
    pruned: (hash) => tree.add(Buffer.from(hash)),
    end: () => {
      const { note, wrong } = proof.end();
      if (wrong) fault(wrong);
      if (note !== undefined) notes.push(note);
      tree.end(next);
      const inOrderOfEntries = faults.toSorted((a, b) => (a.index ?? Infinity) - (b.index ?? Infinity));
      return { faults: inOrderOfEntries, more, notes, size: next, hashes, sums, chains };
    },
  };
};
