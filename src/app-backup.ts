/** Backups: a copy of the ledger as it stands at one moment, beside a running service, and putting it back. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import { Problem } from "./kit/problem.ts";
import { checkpointFile } from "./ledger/anchor.ts";
import { parseHead } from "./ledger/checkpoint.ts";
import { readVerifiers, signerFile, verifierFile } from "./ledger/key-file.ts";
import { checkpointsOf } from "./ledger/trust.ts";
import type { Verified } from "./ledger/verify.ts";
import { withStores } from "./app-stores.ts";
import { copyDatabase, newestNote } from "./store/sqlite/backup.ts";
import { lockData } from "./store/sqlite/lock.ts";
import { verifyDatabase } from "./store/sqlite/verify.ts";

type Progress = (done: number) => void;

const sync = (path: string): void => {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
};

/** @throws Problem `conflict` for a ledger that is no file */
const assertFile = (store: string | undefined): void => {
  if (store !== undefined)
    throw new Problem("conflict", "the ledger is in PostgreSQL: back it up with the database's own tools");
};

/** Puts a finished file in its place: whole, on disk, its owner's alone. */
const place = (fresh: string, file: string): void => {
  chmodSync(fresh, 0o600);
  sync(fresh);
  renameSync(fresh, file);
  sync(dirname(file));
};

const checked = (verified: Verified, what: string): Verified => {
  const [first] = verified.faults;
  if (!first) return verified;
  const where = first.index === undefined ? "" : `entry ${first.index}: `;
  throw new Problem("conflict", `${what} doesn't verify: ${where}${first.message}`);
};

/**
 * Copies the ledger of a data directory into a file, as of one moment, and verifies the copy; gives its entries.
 * @throws Problem `conflict` where the file exists or the copy doesn't verify, `not_found` without a ledger
 */
export const backUp = ({ data, store }: Config, file: string, progress: Progress): number => {
  assertFile(store);
  if (existsSync(file)) throw new Problem("conflict", `\`${file}\` exists already`);
  const source = ledgerFile(data);
  if (!existsSync(source)) throw new Problem("not_found", `there is no ledger at \`${source}\``);
  const fresh = `${file}.part`;
  rmSync(fresh, { force: true });
  try {
    copyDatabase(source, fresh);
    const keys = existsSync(verifierFile(data)) ? readVerifiers(verifierFile(data)) : [];
    const { size } = checked(verifyDatabase(fresh, { keys, checkpoints: [] }, progress), "the copy");
    place(fresh, file);
    return size;
  } finally {
    rmSync(fresh, { force: true });
  }
};

export type RestoreOptions = {
  /** Goes back behind what was published: entries since the backup are lost. */
  loseEntries: boolean;
  /** Persons who were erased since: erased again. */
  erasures: readonly { type: string; id: string }[];
};

export type Restored = { size: number; lost: number; erased: number };

/** Erases anew those whom the backup still knows; how many those were. */
const eraseAgain = (config: Config, erasures: RestoreOptions["erasures"]): Promise<number> =>
  withStores(config, async ({ ledger }) => {
    let erased = 0;
    for (const subject of erasures) {
      try {
        await ledger.erase({ subject, reason: "erased before the restore" });
        erased++;
      } catch (error) {
        // Who was erased before the backup isn't in it.
        if (!(error instanceof Problem && error.code === "not_found")) throw error;
      }
    }
    return erased;
  });

/** Checkpoints that the directory has published of this ledger. */
const published = (data: string): { size: number; note: string } | undefined => {
  const file = checkpointFile(data);
  if (!existsSync(file)) return undefined;
  const note = readFileSync(file, "utf8");
  return { size: parseHead(note)?.size ?? 0, note };
};

const putBack = ({ data }: Config, file: string, loseEntries: boolean, progress: Progress) => {
  const target = ledgerFile(data);
  if (existsSync(target)) throw new Problem("conflict", `\`${target}\` exists: move it away first`);
  if (!existsSync(signerFile(data)) || !existsSync(verifierFile(data)))
    throw new Problem("not_found", `put the keys, ledger.key and ledger.pub, into \`${data}\` first`);
  const keys = readVerifiers(verifierFile(data));
  const known = published(data);
  const fresh = `${target}.part`;
  rmSync(fresh, { force: true });
  try {
    copyFileSync(file, fresh);
    const { size } = checked(verifyDatabase(fresh, { keys, checkpoints: [] }, progress), "the backup");
    const lost = Math.max(0, (known?.size ?? 0) - size);
    if (lost > 0 && !loseEntries)
      throw new Problem(
        "conflict",
        `the backup ends at entry ${size}, but ${lost} more were published: with --lose-entries they are given up`,
      );
    // What was published of as many entries or fewer must be what the backup holds.
    const trusted = known && lost === 0 ? checkpointsOf(checkpointFile(data), known.note) : [];
    if (trusted.length > 0)
      checked(verifyDatabase(fresh, { keys, checkpoints: trusted }, progress), "the backup");
    place(fresh, target);
    if (lost > 0) writeFileSync(checkpointFile(data), newestNote(target), { mode: 0o600 });
    return { size, lost };
  } finally {
    for (const end of ["", "-wal", "-shm"]) rmSync(`${fresh}${end}`, { force: true });
  }
};

/**
 * Puts a backup into a data directory that has no ledger, after verifying it.
 * @throws Problem `conflict` where there is one, where the backup doesn't verify, or where entries would be lost
 */
export const restore = async (
  config: Config,
  file: string,
  { loseEntries, erasures }: RestoreOptions,
  progress: Progress,
): Promise<Restored> => {
  assertFile(config.store);
  if (!existsSync(file)) throw new Problem("not_found", `there is no backup at \`${file}\``);
  mkdirSync(config.data, { recursive: true, mode: 0o700 });
  const lock = lockData(config.data);
  let back: { size: number; lost: number };
  try {
    back = putBack(config, file, loseEntries, progress);
  } finally {
    lock.release();
  }
  return { ...back, erased: erasures.length === 0 ? 0 : await eraseAgain(config, erasures) };
};

/** The lines of a list of erasures, `TYPE::ID` each. */
export const erasureLines = (file: string): string[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
