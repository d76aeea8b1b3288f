/**
 * The ledger's core: synchronous, in one thread, the only writer. Acts are judged, admitted and written in order
 * inside one transaction; what a caller is told was committed and synced before.
 */
import { randomBytes } from "node:crypto";
import type { Database } from "better-sqlite3";
import type { Decided, Facts, Verdict } from "../../decision/question.ts";
import { recordOf } from "../../decision/record.ts";
import type { Act, Bound } from "../../decision/store.ts";
import type { Caller } from "../../identity/caller.ts";
import { Problem } from "../../kit/problem.ts";
import { detailCommitment, leafBytesMax, leafHash, leafOf } from "../../ledger/entry.ts";
import type { EntryFilter, EntryView } from "../../ledger/store.ts";
import { type CallerRows, callerRows, type KeptCaller } from "./callers.ts";
import { createChains } from "./chains.ts";
import { readEntries } from "./entries.ts";
import { type OpenOptions, openDatabase } from "./open.ts";
import { createPseudonyms } from "./pseudonyms.ts";

export type LedgerOptions = OpenOptions & {
  /** Told of judgements that threw: each denied its own question. */
  warn?: (warning: string) => void;
};

export type Ledger = {
  /**
   * Judges, admits and records these acts in order, in one commit.
   * @throws Problem `ledger_unavailable`: nothing was recorded, nothing was decided
   */
  commit: (acts: readonly Act[]) => Decided[][];
  entries: (filter: EntryFilter) => { entries: EntryView[]; next?: number };
  writable: () => { ok: true } | { ok: false; error: string };
  keepPolicySet: (set: { digest: string; body: string }) => void;
  addCaller: (caller: Caller) => void;
  callers: () => KeptCaller[];
  revokeCaller: (name: string) => void;
  /** Bounds the file anew, in pages. */
  bound: (pagesMax: number) => void;
  close: () => void;
};

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A ledger with a hole can't be extended consistently: entries were taken away. */
const nextIndex = (db: Database): number => {
  const { count, last } = db
    .prepare<[], { count: number; last: number | null }>(
      "select count(*) as count, max(idx) as last from entry",
    )
    .get()!;
  if (count !== (last ?? -1) + 1)
    throw new Problem("not_ready", `the ledger holds ${count} entries, but its last index is ${last}`);
  return count;
};

const refusedVerdict = (reason: Verdict["reason"], detail: string): Verdict => ({
  decision: false,
  reason,
  policies: [],
  obligations: [],
  messages: [],
  advice: [],
  detail,
});

/** Judges one question; what throws denies it. */
const judged = ({ judge, admit }: Bound, facts: Facts, warn: (warning: string) => void): Verdict => {
  try {
    const verdict = judge(facts, {});
    if (!verdict.decision) return verdict;
    const refusal = admit(facts, {}, []);
    return refusal ? refusedVerdict(refusal.reason, refusal.detail) : verdict;
  } catch (error) {
    warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return refusedVerdict("policy_error", "the judgement failed");
  }
};

/** Writes entries; what it remembers between commits is thrown away when one fails. */
const createWriter = (
  db: Database,
  { engine }: Bound,
): ((facts: Facts, body: string, verdict: Verdict) => number) => {
  const insertEntry = db.prepare(
    "insert into entry (idx, id, at, kind, leaf, leaf_hash, resource, denied) values (?, ?, ?, 'decision', ?, ?, ?, ?)",
  );
  const insertDetail = db.prepare("insert into detail (idx, salt, body) values (?, ?, ?)");
  const insertAgent = db.prepare("insert or ignore into entry_agent (agent, idx) values (?, ?)");
  const names = createPseudonyms(db);
  const chains = createChains(db);
  let next = nextIndex(db);
  return (facts, body, verdict) => {
    const index = next++;
    const salt = randomBytes(16);
    const record = recordOf(facts, verdict, names, { engine, detail: detailCommitment(salt, body) });
    const keys = [
      ...facts.agents.map((agent) => `agent:${chainName(agent)}`),
      ...facts.labels.map((label) => `label:${chainName(label)}`),
    ];
    const leaf = leafOf(chains.links(keys), record);
    if (leaf.length > leafBytesMax)
      throw new Error(`an entry of ${leaf.length} bytes exceeds ${leafBytesMax}`);
    const hash = leafHash(leaf);
    const { p, type, id } = record["resource"] as { p?: string; type?: string; id?: string };
    const resource = p ?? `${type}::${id}`;
    insertEntry.run(index, facts.id, facts.at, leaf, hash, resource, verdict.decision ? 0 : 1);
    insertDetail.run(index, salt, body);
    chains.extend(keys, hash);
    const acting = facts.subjectActs ? [record["subject"]] : [];
    const agents = [...acting, ...(record["actors"] as unknown[])] as { p?: string; id?: string }[];
    for (const agent of agents) insertAgent.run(agent.p ?? agent.id!, index);
    return index;
  };
};

/** Opens a ledger. `bound` judges and admits inside the act. @throws Problem when it can't be opened safely */
export const openLedger = (file: string, bound: Bound, options: LedgerOptions = {}): Ledger => {
  const db = openDatabase(file, options);
  const warn = options.warn ?? ((): void => undefined);
  const callers: CallerRows = callerRows(db);
  let write = createWriter(db, bound);
  let failure: string | undefined;

  const decide = (act: Act): Decided[] => {
    const decided: Decided[] = [];
    for (const body of act.facts) {
      const facts = JSON.parse(body) as Facts;
      const verdict = judged(bound, facts, warn);
      decided.push({ id: facts.id, index: write(facts, body, verdict), verdict });
      if (act.until === (verdict.decision ? "permit" : "deny")) break;
    }
    return decided;
  };
  const commitAll = db.transaction((acts: readonly Act[]) => acts.map(decide));

  /** Runs a write; when it fails, nothing of it stays, in the file or in memory. */
  const durable = <T>(act: () => T): T => {
    try {
      const value = act();
      failure = undefined;
      return value;
    } catch (error) {
      if (error instanceof Problem) throw error;
      failure = errorText(error);
      if (db.inTransaction) db.exec("rollback");
      write = createWriter(db, bound);
      throw new Problem("ledger_unavailable", "the decision could not be recorded, so nothing was decided", {
        cause: error,
      });
    }
  };
  const tryWrite = db.transaction(() => db.prepare("insert into trial values (zeroblob(65536))").run());
  const clearTrial = db.transaction(() => db.prepare("delete from trial").run());
  const keepSet = db.prepare("insert or ignore into policy_set (digest, body, kept_at) values (?, ?, ?)");
  return {
    commit: (acts) => durable(() => commitAll.immediate(acts)),
    entries: (filter) => readEntries(db, filter),
    writable: () => {
      try {
        if (failure !== undefined)
          durable(() => {
            tryWrite.immediate();
            clearTrial.immediate();
          });
        return { ok: true };
      } catch {
        return { ok: false, error: failure ?? "unknown" };
      }
    },
    keepPolicySet: ({ digest, body }) =>
      void durable(() => keepSet.run(digest, body, new Date().toISOString())),
    addCaller: (caller) => durable(() => callers.add(caller)),
    callers: () => callers.list(),
    revokeCaller: (name) => durable(() => callers.revoke(name)),
    bound: (pagesMax) => void db.pragma(`max_page_count = ${pagesMax}`),
    close: () => {
      db.pragma("wal_checkpoint(truncate)");
      db.close();
    },
  };
};

/** A chain's key has bounds, as a leaf has; a longer name goes by its digest. */
const chainName = (name: string): string =>
  Buffer.byteLength(name, "utf8") <= 256 ? name : leafHash(Buffer.from(name, "utf8")).toString("hex");
