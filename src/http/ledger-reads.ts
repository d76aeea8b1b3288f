/**
 * Who reads the ledger, told in the ledger. The first read of a kind by a caller is recorded before it is answered; those
 * that follow are counted, and told together: whoever polls doesn't fill the ledger with polling.
 */
import { type Clock, isoMicros, type Micros } from "../kit/clock.ts";
import { uuidv7 } from "../kit/id.ts";
import type { JsonObject } from "../kit/json.ts";
import type { LedgerStore } from "../ledger/store.ts";

/** What can be read: entries in pages, one entry with its detail, a tail, proofs, the log's tiles, a policy set. */
export type ReadKind = "entries" | "entry" | "tail" | "proof" | "log" | "policy_set";

/** Notes a read before it is answered; `what` was asked for, as the detail keeps it. @throws Problem `ledger_unavailable` */
export type NoteRead = (caller: string, read: ReadKind, what?: JsonObject) => Promise<void>;

export type Reads = {
  note: NoteRead;
  /** Tells those that are due, or all that are counted. */
  tell: (which: "due" | "all") => Promise<void>;
};

/** How long reads are counted before they are told. */
const spanMicros = 600_000_000;
/** How many different things a detail tells were asked for, and in how many bytes; of more, only their number. */
const askedMax = 100;
const askedBytesMax = 65_536;

type Counted = {
  caller: string;
  read: ReadKind;
  /** When the first of them was. */
  since: Micros;
  last: Micros;
  reads: number;
  asked: Map<string, { what: JsonObject; times: number }>;
  askedBytes: number;
  others: number;
};

type Standing = {
  /** The record of the read that began it: none that follows is answered before that. */
  begun: Promise<unknown>;
  dueAt: Micros;
  counted: Counted;
};

const counter = (caller: string, read: ReadKind, at: Micros): Counted => ({
  caller,
  read,
  since: at,
  last: at,
  reads: 0,
  asked: new Map(),
  askedBytes: 0,
  others: 0,
});

const count = (counted: Counted, at: Micros, what: JsonObject): void => {
  const { asked } = counted;
  if (counted.reads === 0) counted.since = at;
  counted.last = at;
  counted.reads++;
  const text = JSON.stringify(what);
  const known = asked.get(text);
  if (known === undefined && (asked.size >= askedMax || counted.askedBytes + text.length > askedBytesMax)) {
    counted.others++;
    return;
  }
  if (known === undefined) counted.askedBytes += text.length;
  asked.set(text, { what, times: (known?.times ?? 0) + 1 });
};

const entryOf = (
  { caller, read, reads, since, last, asked, others }: Counted,
  at: Micros,
): Parameters<LedgerStore["note"]>[0] => ({
  id: uuidv7(at),
  at,
  caller,
  note: "ledger.read",
  facts: { read, reads, from: isoMicros(since), to: isoMicros(last) },
  detail: {
    asked: [...asked.values()],
    ...(others === 0 ? {} : { others }),
  },
});

/** What notes reads in this ledger. */
export const createReads = (ledger: Pick<LedgerStore, "note">, clock: Clock): Reads => {
  const standing = new Map<string, Standing>();
  const note: NoteRead = async (caller, read, what = {}) => {
    const key = `${read} ${caller}`;
    const at = clock();
    const known = standing.get(key);
    if (known) {
      await known.begun;
      // It may have been told meanwhile, and another begun.
      if (standing.get(key) !== known) return note(caller, read, what);
      count(known.counted, at, what);
      return;
    }
    const first = counter(caller, read, at);
    count(first, at, what);
    const begun = ledger.note(entryOf(first, at));
    standing.set(key, { begun, dueAt: at + spanMicros, counted: counter(caller, read, at) });
    try {
      await begun;
    } catch (error) {
      standing.delete(key);
      throw error;
    }
  };
  const tellOne = async (key: string, known: Standing, at: Micros): Promise<void> => {
    const { counted } = known;
    if (counted.reads === 0) {
      standing.delete(key);
      return;
    }
    // What is read while this is written belongs to the next.
    known.counted = counter(counted.caller, counted.read, at);
    try {
      await ledger.note(entryOf(counted, at));
      known.dueAt = at + spanMicros;
    } catch (error) {
      merge(counted, known.counted);
      known.counted = counted;
      throw error;
    }
  };
  return {
    note,
    tell: async (which) => {
      const at = clock();
      for (const [key, known] of standing)
        if (which === "all" || known.dueAt <= at) await tellOne(key, known, at);
    },
  };
};

/** Takes in what was counted meanwhile. */
const merge = (into: Counted, more: Counted): void => {
  into.reads += more.reads;
  into.others += more.others;
  into.last = Math.max(into.last, more.last);
  for (const [text, { what, times }] of more.asked) {
    const known = into.asked.get(text);
    if (known === undefined && into.asked.size >= askedMax) into.others += times;
    else into.asked.set(text, { what, times: (known?.times ?? 0) + times });
  }
};
