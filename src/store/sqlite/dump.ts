/** Reads a whole ledger out of its file, as of one moment, for another store to take in. */
import type { Database } from "better-sqlite3";
import { Problem } from "../../kit/problem.ts";
import type { Dump, DumpedRow } from "../acts/dump.ts";
import { agentKeyRows } from "./agent-keys.ts";
import { createDelegations } from "./delegations.ts";
import { Sqlite } from "./driver.ts";
import { keptHolds } from "./holds.ts";
import { createKills } from "./kills.ts";
import { legalHolds } from "./legal-holds.ts";
import { newestVersion } from "./schema.ts";

/** Tables whose rows go as they are, but for the names of some columns; in an order in which each stands by itself. */
export const plainTables: Readonly<Record<string, string>> = {
  account: "select id, budget, name from account",
  activation: "select n, at, verb, bundle, policy_set, by as said_by, reason, sequence from activation",
  agent: "select id, body, expires_at, created_at, created_by from agent",
  agent_denial: "select agent, decision, at, runaway as kind from agent_denial",
  agent_status: "select agent, status, reason, by as said_by, at from agent_status",
  alert: "select id, type, severity, at, body from alert order by seq",
  alert_delivery: `select a.id as alert, d.sink, d.state, d.attempts, d.next_at, d.done_at, d.error
    from alert_delivery d join alert a on a.seq = d.seq`,
  budget: "select id, unit, per, window as span from budget",
  budget_grant:
    "select id, budget, account, amount, from_at, until_at, granted_by, reason, at from budget_grant",
  bundle: "select digest, policy_set from bundle",
  bundle_file: "select bundle, path, file from bundle_file",
  burn: "select account, minute, used from burn",
  caller: "select name, json_extract(body, '$.keyHash') as key_hash, body, added_at, revoked_at from caller",
  chain_head: "select key, count, leaf_hash from chain_head",
  checkpoint: "select size, root, note, at from checkpoint",
  consumption:
    "select idx, unit, at, amount, agent, user as person, team, org, run, model, tool from consumption",
  detail: "select idx, salt, body from detail",
  entity: "select type, id, body, at, by as said_by from entity",
  entity_state: "select 1 as one, digest from entity_state",
  entry: "select idx, id, at, kind, leaf, leaf_hash, resource, denied from entry order by idx",
  entry_agent: "select agent, idx from entry_agent",
  entry_facet: "select f.kind, f.value, e.idx from entry_facet e join facet f on f.id = e.facet",
  entry_trace: "select trace, idx from entry_trace",
  exported: "select first, count, digest from exported",
  idempotency: "select caller, endpoint, key, fingerprint, answer, at from idempotency",
  in_force: "select part, name, digest from in_force",
  outcome: "select decision, fingerprint, idx from outcome",
  period: "select account, start, used, held from period",
  policy_file: "select digest, body from policy_file",
  policy_set: "select digest, body, kept_at from policy_set",
  pruned: "select 1 as one, before, latest, disorder from pruned",
  pruned_balance: "select budget, account, start, used, held from pruned_balance",
  pruned_chain: "select key, count, leaf_hash from pruned_chain",
  proof: "select key, jti, until, purpose from proof",
  pseudonym: "select name, kind, type, id from pseudonym",
  recent_question: "select run, n, at, fingerprint from recent_question",
  run: "select id, caller, agent, parent, started_at, depth, calls, usd_micros from run",
  stream_cursor: "select name, idx from stream_cursor",
  tile: "select level, idx, hashes from tile",
  told: "select account, start, threshold, limit_then from told",
  usage_event: "select source, id, fingerprint, answer from usage_event",
};

/** Things that other stores keep whole: they go as JSON. */
const wholes: Readonly<Record<string, (db: Database) => Iterable<unknown>>> = {
  agent_key: function* (db) {
    const rows = agentKeyRows(db);
    const hashes = db.prepare<[], { agent: string; id: string; hash: string }>(
      "select agent, id, hash from agent_key",
    );
    for (const { agent, id, hash } of hashes.all()) yield { hash, ...rows.named(id, agent) };
  },
  delegation: (db) => createDelegations(db).list({}),
  hold: keptHolds,
  kill: (db) => createKills(db).list(),
  legal_hold: legalHolds,
};

/** What is in these follows from others, or is of this store alone. */
export const leftOut: readonly string[] = ["facet", "search", "trial"];

/** Tables that are dumped. */
export const dumpedTables: readonly string[] = [...Object.keys(plainTables), ...Object.keys(wholes)];

const booleans: Readonly<Record<string, readonly string[]>> = { entry: ["denied"] };

function* dump(db: Database): Generator<{ table: string; row: DumpedRow }> {
  for (const [table, sql] of Object.entries(plainTables)) {
    const flags = booleans[table] ?? [];
    for (const row of db.prepare<[], DumpedRow>(sql).iterate())
      yield { table, row: { ...row, ...Object.fromEntries(flags.map((name) => [name, row[name] === 1])) } };
  }
  for (const [table, all] of Object.entries(wholes))
    for (const one of all(db)) yield { table, row: { whole: JSON.stringify(one) } };
}

export type OpenedDump = { rows: Dump; close: () => void };

/**
 * Opens a ledger's file, which nobody writes meanwhile.
 * @throws Problem `not_ready` where it is of another version
 */
export const openDump = (file: string): OpenedDump => {
  const db = new Sqlite(file, { readonly: true, fileMustExist: true });
  try {
    const version = Number(db.pragma("user_version", { simple: true }));
    if (version !== newestVersion)
      throw new Problem(
        "not_ready",
        `the ledger is of version ${version}, this is for ${newestVersion}: start the service once`,
      );
  } catch (error) {
    db.close();
    throw error;
  }
  return { rows: dump(db), close: () => db.close() };
};
