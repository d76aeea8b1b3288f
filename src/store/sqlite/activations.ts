/** Which files decided when: kept whole, so that one can go back to them, with an entry for each change. */
import type { Database } from "better-sqlite3";
import type { Budget } from "../../budget/budget.ts";
import { actRecord } from "../../decision/record.ts";
import { sha256 } from "../../kit/digest.ts";
import type { Micros } from "../../kit/clock.ts";
import { uuidv7 } from "../../kit/id.ts";
import type { JsonObject } from "../../kit/json.ts";
import { Problem } from "../../kit/problem.ts";
import type { EntryKind } from "../../ledger/entry-kinds.ts";
import type { Activated, Activation, ActivationVerb, Standing } from "../../policy/store.ts";
import type { BookFault } from "../acts/book.ts";
import { keepBook } from "./book.ts";
import { type ContentsChange, keepFirst, takeContents } from "./contents.ts";
import type { Desk } from "./desk.ts";

type Row = {
  at: number;
  verb: ActivationVerb;
  bundle: string;
  policy_set: string;
  by: string;
  reason: string | null;
  sequence: number | null;
  kept: number;
};

const activationOf = (row: Row): Activation => ({
  at: row.at,
  verb: row.verb,
  bundle: row.bundle,
  policySet: row.policy_set,
  by: row.by,
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.sequence === null ? {} : { sequence: row.sequence }),
  kept: row.kept === 1,
});

/** Of what was read from the folders, so many are kept, besides all that was promoted. */
const loadsKept = 20;
const listedMax = 1000;

const filesOf = (db: Database, digest: string): Record<string, string> | undefined => {
  const rows = db
    .prepare<[string], { path: string; body: string }>(
      "select b.path, f.body from bundle_file b join policy_file f on f.digest = b.file where b.bundle = ?",
    )
    .all(digest);
  return rows.length === 0 ? undefined : Object.fromEntries(rows.map(({ path, body }) => [path, body]));
};

type Before = { bundle: string; policy_set: string; sequence: number | null };

const lastRow = (db: Database): Before | undefined =>
  db.prepare<[], Before>("select bundle, policy_set, sequence from activation order by n desc limit 1").get();

export type ActivationRows = {
  list: () => Activation[];
  standing: () => Standing;
  /** The files of a bundle, or of the newest one that made this policy set. */
  files: (digest: string) => { digest: string; files: Record<string, string> } | undefined;
};

export const activationRows = (db: Database): ActivationRows => {
  const list = db.prepare<[], Row>(
    `select a.*, exists (select 1 from bundle b where b.digest = a.bundle) as kept
     from activation a order by n desc limit ${listedMax}`,
  );
  const named = db
    .prepare<[string, string], string>(
      `select a.bundle from activation a join bundle b on b.digest = a.bundle
       where a.bundle = ? or a.policy_set = ? order by n desc limit 1`,
    )
    .pluck();
  const said = db
    .prepare<[], string>("select verb from activation where verb <> 'load' order by n desc limit 1")
    .pluck();
  const sequence = db.prepare<[], number | null>("select max(sequence) from activation").pluck();
  const files: ActivationRows["files"] = (wanted) => {
    const digest = named.get(wanted, wanted);
    const found = digest === undefined ? undefined : filesOf(db, digest);
    return digest === undefined || !found ? undefined : { digest, files: found };
  };
  return {
    list: () => list.all().map(activationOf),
    files,
    standing: () => {
      const last = lastRow(db);
      const kept = last && files(last.bundle);
      const verb = said.get();
      const highest = sequence.get() ?? undefined;
      return {
        ...(kept ? { last: kept } : {}),
        pinned: verb === "promote" || verb === "rollback",
        ...(highest === undefined ? {} : { sequence: highest }),
      };
    },
  };
};

const keep = (db: Database, { digest, files }: Activated["bundle"], policySet: string): void => {
  const { changes } = db
    .prepare("insert or ignore into bundle (digest, policy_set) values (?, ?)")
    .run(digest, policySet);
  if (changes === 0) return;
  const file = db.prepare("insert or ignore into policy_file (digest, body) values (?, ?)");
  const line = db.prepare("insert into bundle_file (bundle, path, file) values (?, ?, ?)");
  for (const [path, text] of Object.entries(files)) {
    const name = `sha256:${sha256(text).toString("hex")}`;
    file.run(name, text);
    line.run(digest, path, name);
  }
};

/** Forgets the files of all but the newest loads; what was promoted stays. */
const prune = (db: Database): void => {
  const gone = db
    .prepare<[number], string>(
      `select digest from bundle where digest not in (select bundle from activation where verb <> 'load')
       and digest not in (select bundle from activation group by bundle order by max(n) desc limit ?)`,
    )
    .pluck()
    .all(loadsKept);
  if (gone.length === 0) return;
  for (const digest of gone) {
    db.prepare("delete from bundle_file where bundle = ?").run(digest);
    db.prepare("delete from bundle where digest = ?").run(digest);
  }
  db.exec("delete from policy_file where not exists (select 1 from bundle_file b where b.file = digest)");
};

type Word = { id: string; at: Micros; caller: string; verb: ActivationVerb; reason?: string };

/** Budgets and prices have entries of their own, so that their changes are found by kind. */
const bookKinds = { budgets: "budget.change", prices: "price.change" } as const;

const appendEntries = (
  desk: Desk,
  { id, at, caller, verb, reason }: Word,
  { bundle, policySet }: Activated,
  { before, change }: { before: Before | undefined; change: ContentsChange },
): void => {
  const append = (entry: { id: string; kind: EntryKind; facts: JsonObject; detail: JsonObject }): number =>
    desk.append.entry({
      id: entry.id,
      at,
      kind: entry.kind,
      record: (names, detail) =>
        actRecord(names, {
          kind: entry.kind,
          id: entry.id,
          at,
          caller,
          detail,
          moves: [],
          facts: entry.facts,
        }),
      body: JSON.stringify(entry.detail),
      agents: [],
    });
  const { now, differs, changeOf } = change;
  const was = before ? { from_bundle: before.bundle, from_policy_set: before.policy_set } : {};
  const policies = differs.includes("policies") ? { policies: changeOf("policies") } : {};
  append({
    id,
    kind: `policy.${verb}`,
    facts: {
      bundle: bundle.digest,
      policy_set: policySet.digest,
      ...was,
      parts: now,
      ...(change.before.policies === undefined ? {} : { differs }),
      ...policies,
    },
    detail: reason === undefined ? {} : { reason },
  });
  for (const part of ["budgets", "prices"] as const) {
    const from = change.before[part];
    if (from === undefined || !differs.includes(part)) continue;
    append({
      id: uuidv7(at),
      kind: bookKinds[part],
      facts: { activation: id, digest: now[part], from_digest: from, ...changeOf(part) },
      detail: {},
    });
  }
};

/** Notes that these files decide from now on. Loading what decided before is no news. */
const activate = (db: Database, desk: Desk, activated: Activated): void => {
  const { at, bundle, policySet, contents, command } = activated;
  const before = lastRow(db);
  if (command?.from !== undefined && command.from !== before?.bundle)
    throw new Problem("conflict", "other policies came into force meanwhile: look again");
  const newer = bundle.sequence !== undefined && bundle.sequence !== before?.sequence;
  if (!command && before?.bundle === bundle.digest && !newer) return keepFirst(db, contents);
  keep(db, bundle, policySet.digest);
  const word = command ?? { id: uuidv7(at), at, caller: "remit", verb: "load" as const };
  appendEntries(desk, word, activated, { before, change: takeContents(db, contents) });
  db.prepare(
    "insert into activation (at, verb, bundle, policy_set, by, reason, sequence) values (?, ?, ?, ?, ?, ?, ?)",
  ).run(
    at,
    command?.verb ?? "load",
    bundle.digest,
    policySet.digest,
    command?.caller ?? "remit",
    command?.reason ?? null,
    bundle.sequence ?? null,
  );
  if (!command) prune(db);
};

/**
 * Puts files in force, their policy set kept for good; or says what stands against their budgets.
 * @throws Problem `conflict` when the command was for another state than this one
 */
export const putInForce = (
  db: Database,
  desk: Desk,
  activated: Activated,
  budgets: readonly Budget[],
): BookFault[] => {
  const faults = keepBook(db, budgets);
  if (faults.length > 0) return faults;
  const { digest, body } = activated.policySet;
  db.prepare("insert or ignore into policy_set (digest, body, kept_at) values (?, ?, ?)").run(
    digest,
    body,
    new Date().toISOString(),
  );
  activate(db, desk, activated);
  return [];
};
