/** What the ledger needs kept and found again. */
import type { Micros } from "../kit/clock.ts";
import type { JsonObject } from "../kit/json.ts";
import type { EntryKind } from "./entry-kinds.ts";
import type { Closing } from "./closing.ts";
import type { HeadProof } from "./heads.ts";
import type { TileName } from "./tile.ts";

/**
 * An entry as it is listed: the record, with what the mapping and detail rows still know. What decisions alone have
 * is absent of other kinds.
 */
export type EntryView = {
  index: number;
  id: string;
  ts: string;
  kind: string;
  caller: string;
  subject?: { type: string; id: string };
  actors?: { type: string; id: string }[];
  /** How surely it was known who acts, and on whose behalf where that differs; absent in entries of before it was told. */
  assurance?: string;
  subject_assurance?: string;
  action?: string;
  resource?: { type: string; id: string };
  decision?: "permit" | "deny";
  reason?: string;
  policies?: string[];
  policy_set?: string;
  entities?: string;
  engine?: string;
  request_id?: string;
  trace_id?: string;
  run?: string;
  dry_run?: boolean;
  batch?: string;
  item?: number;
  /** The hold that the decision made, or that became something else. */
  hold?: string;
  /** The decision that a hold came from, or that was answered again. */
  of?: string;
  /** What of the record only this kind has: amounts, state, budget. */
  facts?: Record<string, unknown>;
  /** What moved on which accounts. */
  moves?: { budget: string; account: string; start: number; used?: number; held?: number }[];
  leaf_hash: string;
};

/** Which entries: all conditions must hold. `from` is inclusive, `to` exclusive. */
export type EntryFilter = {
  kind?: string;
  agent?: string;
  /** The subject's id, whatever its type. */
  user?: string;
  run?: string;
  action?: string;
  reason?: string;
  policy?: string;
  /** What belongs to this decision: what became of its holds, how its action ended, answers to retries. */
  of?: string;
  /** W3C trace id. */
  trace?: string;
  decision?: "permit" | "deny";
  resource?: { type: string; id: string };
  from?: Micros;
  to?: Micros;
  /** At most this many. */
  limit: number;
  /** `asc`: from the oldest, or after `cursor`; `desc`: from the newest, or before `cursor`. */
  order: "asc" | "desc";
  /** Index of the last entry seen. */
  cursor?: number;
};

/** `prunedBefore`: what was before this index is kept as hashes only, and isn't found. */
export type EntryPage = { entries: EntryView[]; next?: number; prunedBefore?: number };

/** One entry with all that is kept of it: the leaf's own value, and the detail unless it was erased. */
export type EntryShown = { entry: EntryView; leaf: unknown; detail?: unknown };

/** That an entry is in the tree of a checkpoint. */
export type Inclusion = {
  index: number;
  size: number;
  leafHash: Uint8Array;
  path: Uint8Array[];
  checkpoint: string;
};

/** A change of the keys that sign the ledger. */
export type LedgerKeyCommand = {
  id: string;
  at: Micros;
  caller: string;
  action: "add" | "retire";
  key: string;
};

export const outcomes = ["succeeded", "failed", "not_executed"] as const;

/** What an enforcement point says became of a permitted action. */
export type OutcomeCommand = {
  id: string;
  at: Micros;
  caller: string;
  /** An administrator may report of what others asked. */
  admin: boolean;
  decision: string;
  outcome: (typeof outcomes)[number];
  obligations: readonly { id?: string; type: string; fulfilled: boolean }[];
  detail?: string;
  /** The same report again is the same one. */
  fingerprint: string;
};

export type OutcomeView = {
  decision: string;
  outcome: OutcomeCommand["outcome"];
  /** The entry that tells it. */
  index: number;
  duplicate: boolean;
};

/** What was done that moves nothing: its entry alone. `facts` hold no personal data. */
export type NoteCommand = {
  id: string;
  at: Micros;
  caller: string;
  note: EntryKind;
  facts: JsonObject;
  detail: JsonObject;
};

/** Who is to be erased from what may be erased. */
export type EraseCommand = {
  id: string;
  at: Micros;
  caller: string;
  subject: { type: string; id: string };
  reason: string;
};

/**
 * Where the subject is still named, for the operator to decide on: entities by `TYPE::ID` that are the subject or refer to it,
 * agents that it owns, what was stopped for it as an owner.
 */
export type Remains = { entities: string[]; agents: string[]; kills: string[] };

/** What an erasure came to: its entry, how many details and accounts named the subject, and what still does. */
export type Erased = { index: number; details: number; accounts: number; remains: Remains };

/** Who wants the ends of all chains logged, and to show which agent's; without one, none is shown. */
export type HeadsCommand = { id: string; at: Micros; caller: string; agent?: string };

/** The entry that logs the ends, the agent's chain, and the lines that settle what its end is. */
export type HeadsTaken = { index: number; key: string; lines: HeadProof[] };

/** What must be kept. What is absent doesn't narrow it: with nothing at all, everything is held. */
export type LegalHoldScope = { agent?: string; subject?: string; from?: Micros; to?: Micros };

export type LegalHold = LegalHoldScope & {
  id: string;
  reason: string;
  placedBy: string;
  placedAt: Micros;
  lifted?: { by: string; at: Micros; reason: string };
};

/** Places a hold, under its own id, or lifts another. */
export type LegalHoldCommand = { id: string; at: Micros; caller: string; reason: string } & (
  | ({ action: "add" } & LegalHoldScope)
  | { action: "lift"; hold: string }
);

/** Which entries are to be pruned to their hashes. `asFarAsMayBe`: those of them that may be, instead of none. */
export type PruneCommand = { id: string; at: Micros; caller: string; asFarAsMayBe: boolean } & (
  | { before: number }
  | { beforeAt: Micros }
);

/** What one step of pruning came to: entries before `before` are pruned now; `index` is of the entry that says so. */
export type Pruned = { before: number; entries: number; more: boolean; index?: number };

/** That an export was written whole: from which entry on, how many, and the SHA-256 of what was written. */
export type ExportedCommand = {
  id: string;
  at: Micros;
  caller: string;
  first: number;
  count: number;
  digest: string;
};

export type LedgerStore = {
  /**
   * Prunes a step of what is asked for.
   * @throws Problem `conflict` where something of it wasn't exported, is under legal hold or isn't what was signed
   */
  prune: (command: PruneCommand) => Promise<Pruned>;
  /** Gives the index of the entry that tells it. */
  exported: (command: ExportedCommand) => Promise<number>;
  /** @throws Problem `not_found` for a hold that there is none of, `conflict` for one that was lifted */
  changeLegalHold: (command: LegalHoldCommand) => Promise<LegalHold>;
  legalHolds: () => Promise<LegalHold[]>;
  /** What is left of pruned entries; undefined where none were. */
  closing: () => Promise<Closing | undefined>;
  /** Logs the ends of all chains, in an entry. */
  takeHeads: (command: HeadsCommand) => Promise<HeadsTaken>;
  /** @throws Problem `not_found` for a decision of another caller, `conflict` where something else was reported */
  reportOutcome: (command: OutcomeCommand) => Promise<OutcomeView>;
  /** @throws Problem `not_found` where nothing names the subject */
  erase: (command: EraseCommand) => Promise<Erased>;
  /** Appends a note; gives its index. */
  note: (command: NoteCommand) => Promise<number>;
  /** The source of a policy set that was in force, as JSON; undefined where none had that digest. */
  policySet: (digest: string) => Promise<string | undefined>;
  /** The newest checkpoint, of all entries so far. */
  checkpoint: () => Promise<string>;
  /** Bytes of a tile or bundle within the newest checkpoint; undefined where it has none of that width. */
  tile: (name: TileName) => Promise<Uint8Array | undefined>;
  /** @throws Problem `not_found` where the newest checkpoint doesn't reach */
  inclusion: (index: number) => Promise<Inclusion>;
  /** @throws Problem as `inclusion`; `invalid_request` for sizes that nothing can be proved of */
  consistency: (from: number, to: number) => Promise<Uint8Array[]>;
  /** Entries in index order as asked; `next` is the cursor of the next page, absent at the end. */
  entries: (filter: EntryFilter) => Promise<EntryPage>;
  /** The entry of this index or id. @throws Problem `pruned` where it is known that only its hash is kept */
  entry: (ref: number | string) => Promise<EntryShown | undefined>;
  /** Whether the ledger takes entries: the last commit held, or a trial write does. Otherwise why not. */
  writable: () => Promise<{ ok: true } | { ok: false; error: string }>;
};
