/** The ledger's keys in the data directory: those that sign, readable by the service's own user only, and all that ever did. */
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Problem } from "../kit/problem.ts";
import { newSignerKey, parseSignerKey, parseVerifierKey, type SignerKey, type VerifierKey } from "./note.ts";

export type LedgerKeys = {
  /** The name of the log, which names its keys too. */
  origin: string;
  /** Every one signs every checkpoint. */
  signers: SignerKey[];
  /** Those, and the retired ones, whose checkpoints still count. */
  verifiers: VerifierKey[];
};

export const signerFile = (data: string): string => join(data, "ledger.key");
export const verifierFile = (data: string): string => join(data, "ledger.pub");

const write = (file: string, lines: readonly string[], mode: number): void => {
  const fresh = `${file}.new`;
  const handle = openSync(fresh, "w", mode);
  writeSync(handle, lines.map((line) => `${line}\n`).join(""));
  closeSync(handle);
  renameSync(fresh, file);
};

const linesOf = (file: string): string[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");

const parsed = <T>(file: string, parse: (line: string) => T | undefined): T[] =>
  linesOf(file).map((line) => {
    const key = parse(line);
    if (key === undefined) throw new Problem("not_ready", `${file} holds a line that is no key`);
    return key;
  });

/** Keys in a file of verifier keys, a line each. @throws Problem for a line that is none */
export const readVerifiers = (file: string): VerifierKey[] => parsed(file, parseVerifierKey);

/** Reads the keys. @throws Problem `not_ready` when they are missing, damaged, or others than their owner can read them */
export const readLedgerKeys = (data: string): LedgerKeys => {
  const file = signerFile(data);
  if (!existsSync(file)) throw new Problem("not_ready", `there is no ledger key at ${file}`);
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Problem("not_ready", `${file} can be read by others: run \`chmod 600 ${file}\``);
  const signers = parsed(file, parseSignerKey);
  const origin = signers[0]?.name;
  if (origin === undefined) throw new Problem("not_ready", `${file} holds no key`);
  if (signers.some(({ name }) => name !== origin))
    throw new Problem("not_ready", `${file} holds keys of several logs`);
  const kept = existsSync(verifierFile(data)) ? readVerifiers(verifierFile(data)) : [];
  const fresh = signers
    .map(({ verifier }) => verifier)
    .filter(({ id }) => !kept.some((key) => key.id === id));
  return { origin, signers, verifiers: [...kept, ...fresh] };
};

/** Writes the keys: what verifies first, so that no checkpoint is ever signed by a key that nobody knows. */
export const writeLedgerKeys = (data: string, { signers, verifiers }: LedgerKeys): void => {
  write(
    verifierFile(data),
    verifiers.map(({ text }) => text),
    0o644,
  );
  write(
    signerFile(data),
    signers.map(({ text }) => text),
    0o600,
  );
};

/**
 * The keys of a data directory, made if it has none; `origin` names a new log, and must be the name of one that is there.
 * @throws Problem as `readLedgerKeys`; `not_ready` also when only the private half is gone: a new one would be another log
 */
export const ledgerKeys = (data: string, origin: { wanted?: string; usual: string }): LedgerKeys => {
  if (!existsSync(signerFile(data)) && !existsSync(verifierFile(data))) {
    const signer = newSignerKey(origin.wanted ?? origin.usual);
    writeLedgerKeys(data, { origin: signer.name, signers: [signer], verifiers: [signer.verifier] });
  }
  const keys = readLedgerKeys(data);
  if (origin.wanted !== undefined && origin.wanted !== keys.origin)
    throw new Problem(
      "not_ready",
      `the ledger is \`${keys.origin}\` for good, but is configured as \`${origin.wanted}\``,
      {
        field: "ledger.origin",
      },
    );
  return keys;
};
