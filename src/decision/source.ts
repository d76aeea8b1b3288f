/** Where policies come from: folders, or a bundle file that must be whole, signed, in time and no older than the last. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { basename } from "node:path";
import { readFiles, signatureOf } from "../kit/folder.ts";
import type { LoadError } from "../kit/place.ts";
import { readBundle } from "../policy/bundle.ts";
import { filesOf, type FolderFiles, type Folders, readFolders, snapshotPaths } from "./snapshot.ts";

/** A bundle file, and the files of the Ed25519 public keys (PEM), of which one must have signed it; without any, none need. */
export type BundleSource = { file: string; publicKeys: readonly string[] };

/** What was read; a bundle has a sequence number and an end. */
export type Sourced = { files: FolderFiles; sequence?: number; expiresAt?: string };

export type Source = {
  /** A text that differs once anything was changed. @throws Error when it can't be looked at */
  signature: () => Promise<string>;
  /** Reads everything; `sequence` is the greatest that was ever taken. @throws Error when it can't be read */
  read: (sequence: number) => Promise<Sourced | { errors: LoadError[] }>;
};

const folderSource = (folders: Folders): Source => ({
  signature: async () => signatureOf(Object.values(await snapshotPaths(folders)).flat()),
  read: async () => ({ files: await readFolders(folders) }),
});

const keyIn = ({ file, text }: { file: string; text: string }): KeyObject => {
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch (error) {
    throw new Error(`${file}: not a public key in PEM`, { cause: error });
  }
  if (key.asymmetricKeyType !== "ed25519") throw new Error(`${file}: not an Ed25519 key`);
  return key;
};

const bundleSource = ({ file, publicKeys }: BundleSource): Source => ({
  signature: () => signatureOf([file, ...publicKeys]),
  read: async (taken) => {
    const [written, ...pems] = await readFiles([file, ...publicKeys], (path) => basename(path));
    const name = written!.file;
    const refused = (message: string): { errors: LoadError[] } => ({ errors: [{ message, file: name }] });
    const bundle = readBundle(written!.text, pems.map(keyIn));
    if ("fault" in bundle) return refused(`the bundle is refused: ${bundle.fault}`);
    const { sequence, expiresAt } = bundle.manifest;
    if (Date.parse(expiresAt) <= Date.now())
      return refused(`the bundle is refused: it expired at ${expiresAt}`);
    if (sequence < taken)
      return refused(`the bundle is refused: its sequence number is ${sequence}, ${taken} was in force`);
    const signature = [written!, ...pems].map(({ mark }) => mark).join("\n");
    return { files: { ...filesOf(bundle.files), signature }, sequence, expiresAt };
  },
});

export const sourceOf = (folders: Folders, bundle: BundleSource | undefined): Source =>
  bundle ? bundleSource(bundle) : folderSource(folders);
