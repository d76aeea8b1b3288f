/** Which files decided when, on the working set; and as they are read. */
import type pg from "pg";
import { sha256 } from "../../kit/digest.ts";
import type { Activation, ActivationVerb, Contents, Part, Standing } from "../../policy/store.ts";
import type { ActivationRows } from "../acts/activations.ts";
import { emptyContents, parts } from "../acts/contents.ts";
import { readRows } from "./rows.ts";
import type { WorkingSet } from "./working-set.ts";

type ActivationRow = {
  n: number;
  at: number;
  verb: ActivationVerb;
  bundle: string;
  policy_set: string;
  said_by: string;
  reason: string | null;
  sequence: number | null;
};
type PartRow = { part: Part; name: string; digest: string };

/** Of what was read from the folders, so many are kept, besides all that was promoted. */
const loadsKept = 20;
const listedMax = 1000;

const keptContents = (set: WorkingSet): Contents | undefined => {
  const rows = set.rows<PartRow>("in_force", "inForce", [], () => true);
  if (rows.length === 0) return undefined;
  const contents = emptyContents();
  for (const { part, name, digest } of rows) contents[part][name] = digest;
  return contents;
};

const keepContents = (set: WorkingSet, contents: Contents): void => {
  for (const row of set.rows<PartRow>("in_force", "inForce", [], () => true))
    if (!Object.hasOwn(contents[row.part], row.name)) set.remove("in_force", row);
  for (const part of parts)
    for (const [name, digest] of Object.entries(contents[part])) set.put("in_force", { part, name, digest });
};

export const activationRows = (set: WorkingSet): ActivationRows => {
  const last = (): ActivationRow | undefined =>
    set
      .rows<ActivationRow>("activation", "lastActivation", [], () => true)
      .toSorted((a, b) => a.n - b.n)
      .at(-1);
  return {
    kept: () => keptContents(set),
    keep: (contents) => keepContents(set, contents),
    last: () => {
      const row = last();
      return row && { bundle: row.bundle, policySet: row.policy_set, sequence: row.sequence };
    },
    keepPolicySet: ({ digest, body }) =>
      set.put("policy_set", { digest, body, kept_at: new Date().toISOString() }),
    keepBundle: ({ digest, files }, policySet) => {
      if (set.one("bundle", "bundle", [digest], (row) => row["digest"] === digest)) return;
      set.put("bundle", { digest, policy_set: policySet });
      for (const [path, body] of Object.entries(files)) {
        const file = `sha256:${sha256(body).toString("hex")}`;
        set.put("policy_file", { digest: file, body });
        set.put("bundle_file", { bundle: digest, path, file });
      }
    },
    insert: ({ at, verb, bundle, policySet, by, reason, sequence }) =>
      set.put("activation", {
        n: (last()?.n ?? 0) + 1,
        at,
        verb,
        bundle,
        policy_set: policySet,
        said_by: by,
        reason: reason ?? null,
        sequence: sequence ?? null,
      }),
    // See `forgetLoads`: it takes a look at all of them.
    pruneLoads: () => undefined,
  };
};

/** Forgets the files of all but the newest loads; what was promoted stays. */
export const forgetLoads = async (pool: pg.Pool): Promise<void> => {
  await pool.query(
    `with gone as (
       delete from bundle where digest not in (select bundle from activation where verb <> 'load')
         and digest not in (select bundle from activation group by bundle order by max(n) desc limit $1)
       returning digest),
     files as (delete from bundle_file where bundle in (select digest from gone) returning file)
     delete from policy_file f where f.digest in (select file from files)
       and not exists (
         select 1 from bundle_file b where b.file = f.digest and b.bundle not in (select digest from gone))`,
    [loadsKept],
  );
};

/** What is read of activations. */
export type ActivationViews = {
  list: () => Promise<Activation[]>;
  standing: () => Promise<Standing>;
  /** The files of a bundle, or of the newest one that made this policy set. */
  files: (digest: string) => Promise<{ digest: string; files: Record<string, string> } | undefined>;
};

type Listed = Omit<ActivationRow, "n"> & { kept: boolean };

const activationOf = (row: Listed): Activation => ({
  at: row.at,
  verb: row.verb,
  bundle: row.bundle,
  policySet: row.policy_set,
  by: row.said_by,
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.sequence === null ? {} : { sequence: row.sequence }),
  kept: row.kept,
});

export const activationViews = (pool: pg.Pool): ActivationViews => {
  const files: ActivationViews["files"] = async (wanted) => {
    const rows = await readRows<{ bundle: string; path: string; body: string }>(
      pool,
      `select b.bundle, b.path, f.body from bundle_file b join policy_file f on f.digest = b.file
       where b.bundle = (
         select a.bundle from activation a join bundle k on k.digest = a.bundle
         where a.bundle = $1 or a.policy_set = $1 order by a.n desc limit 1)`,
      [wanted],
    );
    const [first] = rows;
    if (!first) return undefined;
    return {
      digest: first.bundle,
      files: Object.fromEntries(rows.map(({ path, body }) => [path, body])),
    };
  };
  return {
    files,
    list: async () => {
      const rows = await readRows<Listed>(
        pool,
        `select a.*, exists (select 1 from bundle b where b.digest = a.bundle) as kept
         from activation a order by n desc limit ${listedMax}`,
      );
      return rows.map(activationOf);
    },
    standing: async () => {
      const rows = await readRows<{
        bundle: string | null;
        said: ActivationVerb | null;
        sequence: number | null;
      }>(
        pool,
        // What is held fast is what was said last, whatever others loaded before they heard of it.
        `with said as (select verb, bundle from activation where verb <> 'load' order by n desc limit 1)
         select coalesce(
             (select bundle from said where verb in ('promote', 'rollback')),
             (select bundle from activation order by n desc limit 1)) as bundle,
           (select verb from said) as said,
           (select max(sequence) from activation) as sequence`,
      );
      const { bundle, said, sequence } = rows[0]!;
      const last = bundle === null ? undefined : await files(bundle);
      return {
        ...(last ? { last } : {}),
        pinned: said === "promote" || said === "rollback",
        ...(sequence === null ? {} : { sequence }),
      };
    },
  };
};
