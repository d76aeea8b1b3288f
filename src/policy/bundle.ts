/**
 * A bundle: every file that decides, under one digest. As a file of its own it has a manifest with a sequence number and
 * an end, signed with Ed25519, so that a service takes policies only from whom it trusts, and never older ones again.
 */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { canonicalJson, digestOf, sha256 } from "../kit/digest.ts";

/** Path in the bundle, below `policies/`, `schemas/` or `entities/`, to text. */
export type BundleFiles = Readonly<Record<string, string>>;

export type Manifest = {
  digest: string;
  /** A service takes no bundle with a lower one than it ever took. */
  sequence: number;
  /** RFC 3339. */
  createdAt: string;
  /** From this instant on the bundle isn't taken any more; RFC 3339. */
  expiresAt: string;
};

/** A bundle as it was read; `signedBy` is absent where it bears no signature. */
export type Bundle = { manifest: Manifest; files: BundleFiles; signedBy?: string };

/** Path → digest of the text. */
export const fileDigests = (files: BundleFiles): Record<string, string> =>
  Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path, `sha256:${sha256(text).toString("hex")}`]),
  );

/** The name of these files: the SHA-256 of the canonical JSON of their digests by path. */
export const bundleDigest = (files: BundleFiles): string => digestOf(fileDigests(files));

const format = "remit-bundle-v1";

const digestShape = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const pathPattern = /^(?:policies|schemas|entities)(?:\/[^/\0]+)+$/;

/** Whether a path may stand in a bundle: below one of its folders, and not out of it again. */
export const isBundlePath = (path: string): boolean =>
  pathPattern.test(path) && !path.split("/").some((part) => part === "." || part === "..");

const shape = z.strictObject({
  format: z.literal(format, `must be \`${format}\``),
  manifest: z.strictObject({
    digest: digestShape,
    sequence: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    created_at: z.iso.datetime({ offset: true }),
    expires_at: z.iso.datetime({ offset: true }),
    files: z.record(z.string().refine(isBundlePath, "is no path of a bundle"), digestShape),
  }),
  signature: z.strictObject({ key: digestShape, ed25519: z.base64() }).optional(),
  files: z.record(z.string(), z.string()),
});

type Written = z.infer<typeof shape>;

/** What is signed: the format first, so that a signature over something else never passes for one over a bundle. */
const signedBytes = (manifest: Written["manifest"]): Buffer =>
  Buffer.from(`${format}\n${canonicalJson(manifest)}`, "utf8");

/** The name of a public key: the SHA-256 of its SubjectPublicKeyInfo. */
const keyName = (key: KeyObject): string =>
  `sha256:${sha256(key.export({ format: "der", type: "spki" })).toString("hex")}`;

/** Packs files, signed where there is a key. `key` is an Ed25519 private key. */
export const packBundle = (
  files: BundleFiles,
  { sequence, createdAt, expiresAt }: Omit<Manifest, "digest">,
  key?: KeyObject,
): string => {
  const digests = fileDigests(files);
  const manifest: Written["manifest"] = {
    digest: digestOf(digests),
    sequence,
    created_at: createdAt,
    expires_at: expiresAt,
    files: digests,
  };
  const signature = key && {
    key: keyName(createPublicKey(key)),
    ed25519: sign(undefined, signedBytes(manifest), key).toString("base64"),
  };
  const written: Written = { format, manifest, ...(signature ? { signature } : {}), files: { ...files } };
  return `${JSON.stringify(written, undefined, 2)}\n`;
};

const parsed = (text: string): Written | { fault: string } => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { fault: "it is not JSON" };
  }
  const read = shape.safeParse(value);
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0]!;
  return { fault: path.length === 0 ? message : `${path.join(".")}: ${message}` };
};

/** What of the files isn't what the manifest says. */
const tampered = ({ manifest, files }: Written): string | undefined => {
  const digests = fileDigests(files);
  const paths = [...new Set([...Object.keys(digests), ...Object.keys(manifest.files)])].sort();
  const differing = paths.find((path) => digests[path] !== manifest.files[path]);
  if (differing !== undefined) return `\`${differing}\` is not what the manifest says`;
  return digestOf(digests) === manifest.digest ? undefined : "its digest is not that of its files";
};

const signer = (
  { manifest, signature }: Written,
  keys: readonly KeyObject[],
): { signedBy?: string } | { fault: string } => {
  if (!signature) return {};
  const key = keys.find((candidate) => keyName(candidate) === signature.key);
  if (!key) return { fault: `it is signed by \`${signature.key}\`, which is none of the keys trusted` };
  return verify(undefined, signedBytes(manifest), key, Buffer.from(signature.ed25519, "base64"))
    ? { signedBy: signature.key }
    : { fault: "its signature is wrong" };
};

/**
 * Reads a bundle: whole, and where `keys` (Ed25519 public keys) are given signed by one of them. Whether it is too old
 * is the reader's to say. A fault comes back as a value.
 */
export const readBundle = (text: string, keys: readonly KeyObject[]): Bundle | { fault: string } => {
  const written = parsed(text);
  if ("fault" in written) return written;
  const fault = tampered(written);
  if (fault !== undefined) return { fault };
  const signed = keys.length === 0 ? {} : signer(written, keys);
  if ("fault" in signed) return signed;
  if (keys.length > 0 && signed.signedBy === undefined) return { fault: "it is not signed" };
  const { digest, sequence, created_at: createdAt, expires_at: expiresAt } = written.manifest;
  return { manifest: { digest, sequence, createdAt, expiresAt }, files: written.files, ...signed };
};
