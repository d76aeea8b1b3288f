/** Checks a database against itself and against what was signed of it, reading only: entries, columns, tree, balances. */
import { existsSync } from "node:fs";
import type { Database } from "better-sqlite3";
import type { JsonObject } from "../../kit/json.ts";
import { detailCommitment } from "../../ledger/entry.ts";
import { hashBytes } from "../../ledger/merkle.ts";
import { type GrownTile, hashesIn, tileWidth, widthAt } from "../../ledger/tile.ts";
import { type Found, openAll, type Trust } from "../../ledger/trust.ts";
import { createVerifier, type Fault, type Leaf, type Verified, type Verifier } from "../../ledger/verify.ts";
import { Sqlite } from "./driver.ts";
import { readClosing } from "./closing.ts";
import { auditBalances } from "./audit.ts";
import { createSearchCheck } from "./verify-search.ts";

type Row = {
  idx: number;
  id: string;
  at: number;
  kind: string;
  leaf: Buffer;
  leaf_hash: Buffer;
  resource: string | null;
  denied: number;
  salt: Buffer | null;
  body: string | null;
};

type Ref = { p?: string; type?: string; id?: string };

/** What of a row doesn't say what its entry says. */
const mismatches = (row: Row, { rec }: Leaf): string[] => {
  const resource = rec["resource"] as Ref | undefined;
  const micros = Date.parse(rec.ts) * 1000 + Number(/\.\d{3}(\d{3})Z$/.exec(rec.ts)?.[1] ?? 0);
  const named = resource ? (resource.p ?? `${resource.type}::${resource.id}`) : null;
  const wanted = {
    id: rec.id,
    kind: rec.kind,
    at: micros,
    resource: named,
    denied: rec.kind === "decision" && rec["decision"] === "deny" ? 1 : 0,
  };
  const columns = Object.entries(wanted).flatMap(([name, value]) =>
    row[name as keyof typeof wanted] === value ? [] : [`its column ${name}`],
  );
  const { salt, body } = row;
  const kept = salt === null || body === null || rec["detail"] === detailCommitment(salt, body);
  return kept ? columns : [...columns, "its detail"];
};

/** Reads the hashes that the tree holds of leaves, a tile at a time. */
const tileHashes = (db: Database): ((index: number) => Uint8Array | undefined) => {
  const find = db.prepare<[number], Buffer>("select hashes from tile where level = 0 and idx = ?").pluck();
  let [held, hashes]: [number, Uint8Array[]] = [-1, []];
  return (index) => {
    const tile = Math.floor(index / tileWidth);
    if (tile !== held) [held, hashes] = [tile, hashesIn(find.get(tile) ?? Buffer.alloc(0))];
    return hashes[index % tileWidth];
  };
};

/** Compares each tile of the signed tree with the one that the entries make. */
const tileCheck = (db: Database, signed: number, fault: (fault: Fault) => void) => {
  const find = db
    .prepare<[number, number], Buffer>("select hashes from tile where level = ? and idx = ?")
    .pluck();
  return ({ level, index, bytes }: GrownTile, size: number): void => {
    if (size > signed) return;
    const stored = find.get(level, index);
    if (stored && Buffer.compare(stored.subarray(0, bytes.length), bytes) === 0) return;
    const at = hashesIn(bytes).findIndex(
      (hash, n) => !stored || Buffer.compare(hash, stored.subarray(n * hashBytes, (n + 1) * hashBytes)) !== 0,
    );
    fault({
      kind: "tile_altered",
      index: (index * tileWidth + at) * tileWidth ** level,
      message: `the tile ${index} of level ${level} ${stored ? "is not the one that the entries make" : "is missing"}, from this entry on`,
    });
  };
};

/** Tiles that a tree of `size` entries has no place for. */
const checkStrayTiles = (db: Database, size: number, fault: (fault: Fault) => void): void => {
  const rows = db.prepare<[], { level: number; idx: number; bytes: number }>(
    "select level, idx, length(hashes) as bytes from tile",
  );
  for (const { level, idx, bytes } of rows.iterate()) {
    const hashes = bytes / hashBytes;
    const width = widthAt(level, idx, size);
    if (Number.isInteger(hashes) && hashes > 0 && hashes <= width && (level > 0 || hashes === tileWidth))
      continue;
    fault({ kind: "tile_altered", message: `the tile ${idx} of level ${level} has no place in the tree` });
  }
};

type CheckpointRow = { size: number; root: Buffer; note: string };

const keptCheckpoints = (db: Database, fault: Verifier["fault"]): Found[] =>
  db
    .prepare<[], CheckpointRow>("select size, root, note from checkpoint order by size")
    .all()
    .map(({ size, root, note }) => {
      const [, sizeText, rootText] = note.split("\n");
      if (String(size) !== sizeText || root.toString("base64") !== rootText)
        fault({
          kind: "checkpoint_forged",
          message: `the checkpoint of ${size} entries says otherwise than its row`,
        });
      return { note, from: "the database" };
    });

const checkChains = (db: Database, { chains }: Verified, fault: Verifier["fault"]): void => {
  const rows = db.prepare<[], { key: string; count: number; hash: Buffer }>(
    "select key, count, leaf_hash as hash from chain_head",
  );
  let found = 0;
  for (const { key, count, hash } of rows.iterate()) {
    const end = chains.get(key);
    found++;
    if (end?.count !== count || Buffer.compare(end.last, hash) !== 0)
      fault({ kind: "chain_broken", message: `the end of the chain \`${key}\` is not that of its entries` });
  }
  if (found !== chains.size)
    fault({ kind: "chain_broken", message: `${chains.size} chains have entries, ${found} an end` });
};

const verifyRows = (db: Database, trust: Trust, progress: (done: number) => void): Verified => {
  const early: Fault[] = [];
  const kept = keptCheckpoints(db, (fault) => early.push(fault));
  const { heads, faults } = openAll([...kept, ...trust.checkpoints], trust.keys);
  const signed = Number(kept.at(-1)?.note.split("\n")[1] ?? 0);
  const tile = tileCheck(db, signed, (fault) => verifier.fault(fault));
  const closing = readClosing(db);
  const verifier = createVerifier({ first: closing?.before ?? 0, closing, heads, tile });
  for (const fault of [...early, ...faults]) verifier.fault(fault);
  if (kept.length === 0)
    verifier.fault({ kind: "checkpoint_mismatch", message: "the database holds no checkpoint" });
  const inTree = tileHashes(db);
  for (let index = 0; index < (closing?.before ?? 0); index++) {
    const hash = inTree(index);
    if (hash) verifier.pruned(hash);
    else verifier.fault({ kind: "tile_altered", index, message: "its hash is missing from the tree" });
  }
  const search = createSearchCheck(db, closing);
  const rows = db.prepare<[], Row>(
    `select e.idx, e.id, e.at, e.kind, e.leaf, e.leaf_hash, e.resource, e.denied, d.salt, d.body
     from entry e left join detail d on d.idx = e.idx order by e.idx`,
  );
  for (const row of rows.iterate()) {
    const tileHash = row.idx < signed ? inTree(row.idx) : undefined;
    const seen = { index: row.idx, leaf: row.leaf, leafHash: row.leaf_hash };
    const leaf = verifier.entry(tileHash ? { ...seen, tileHash } : seen);
    for (const what of leaf ? mismatches(row, leaf) : [])
      verifier.fault({
        kind: "entry_mismatch",
        index: row.idx,
        message: `${what} doesn't say what the entry says`,
      });
    if (leaf)
      search.see(row.idx, row.at, {
        chainKeys: leaf.chain.map(({ k }) => k),
        rec: leaf.rec as JsonObject,
      });
    if (row.idx % 10_000 === 9999) progress(row.idx + 1);
  }
  const entries = verifier.end();
  checkStrayTiles(db, entries.size, verifier.fault);
  checkChains(db, entries, verifier.fault);
  for (const { budget, account, start, message } of auditBalances(db, entries.sums))
    verifier.fault({
      kind: "balance_wrong",
      message: `${budget} of ${account} from ${new Date(start / 1000).toISOString()}: ${message}`,
    });
  for (const message of search.end()) verifier.fault({ kind: "entry_mismatch", message });
  const unsigned = entries.size - signed;
  const notes = unsigned > 0 ? [`${unsigned} entries are not under a checkpoint yet`] : [];
  const whole = verifier.end();
  return { ...whole, notes: [...whole.notes, ...notes] };
};

const damaged = (message: string): Verified => ({
  faults: [{ kind: "unreadable", message }],
  more: 0,
  notes: [],
  size: 0,
  hashes: [],
  sums: new Map(),
  chains: new Map(),
});

/** Verifies a database file as it stands at one moment, whether or not a service has it. */
export const verifyDatabase = (file: string, trust: Trust, progress: (done: number) => void): Verified => {
  if (!existsSync(file)) return damaged(`there is no database at ${file}`);
  let db: Database | undefined;
  try {
    db = new Sqlite(file, { readonly: true, fileMustExist: true });
    db.exec("begin");
    // A damaged page may hold what nothing below reads.
    const pages = db.prepare<[], string>("pragma quick_check(1)").pluck().get();
    if (pages !== "ok") return damaged(`the database's pages are damaged: ${pages}`);
    return verifyRows(db, trust, progress);
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError)) throw error;
    return damaged(`the database can't be read: ${error.message}`);
  } finally {
    db?.close();
  }
};
