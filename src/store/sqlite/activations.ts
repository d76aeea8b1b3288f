/** Which files decided when, as rows. */
import type { Database } from "better-sqlite3";
import { sha256 } from "../../kit/digest.ts";
import type { Activated, Activation, ActivationVerb, Standing } from "../../policy/store.ts";
import type { ActivationRows } from "../acts/activations.ts";
import { contentsRows } from "./contents.ts";

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

type Before = ReturnType<ActivationRows["last"]>;

const lastRow = (db: Database): Before =>
  db
    .prepare<[], NonNullable<Before>>(
      'select bundle, policy_set as "policySet", sequence from activation order by n desc limit 1',
    )
    .get();

/** What is read of activations. */
export type ActivationViews = {
  list: () => Activation[];
  standing: () => Standing;
  /** The files of a bundle, or of the newest one that made this policy set. */
  files: (digest: string) => { digest: string; files: Record<string, string> } | undefined;
};

export const activationViews = (db: Database): ActivationViews => {
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
  const files: ActivationViews["files"] = (wanted) => {
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

export const activationRows = (db: Database): ActivationRows => {
  const policySet = db.prepare("insert or ignore into policy_set (digest, body, kept_at) values (?, ?, ?)");
  const insert = db.prepare(
    "insert into activation (at, verb, bundle, policy_set, by, reason, sequence) values (?, ?, ?, ?, ?, ?, ?)",
  );
  return {
    ...contentsRows(db),
    last: () => lastRow(db),
    keepPolicySet: ({ digest, body }) => void policySet.run(digest, body, new Date().toISOString()),
    keepBundle: (bundle, digest) => keep(db, bundle, digest),
    insert: ({ at, verb, bundle, policySet: digest, by, reason, sequence }) =>
      void insert.run(at, verb, bundle, digest, by, reason ?? null, sequence ?? null),
    pruneLoads: () => prune(db),
  };
};
