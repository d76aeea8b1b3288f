/** Signed notes (C2SP signed-note): a text, and below it lines with signatures. Ed25519 only. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { sha256 } from "../kit/digest.ts";

/** A key that verifies: its name, its id (8 hexadecimal digits), and how it is written. */
export type VerifierKey = { name: string; id: string; text: string; key: KeyObject };
/** A key that signs, and how its counterpart is written. */
export type SignerKey = { name: string; id: string; text: string; verifier: VerifierKey; key: KeyObject };

const ed25519 = 1;
/** As many signature lines as a note may have. */
const signaturesMax = 100;

/** Bytes in base64 (RFC 4648 §4); undefined unless that is their only spelling. */
export const fromBase64 = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
};

const isName = (name: string): boolean => /^[^\s+\p{Cc}]+$/u.test(name);

const idOf = (name: string, publicKey: Uint8Array): string =>
  sha256(name, Uint8Array.of(0x0a, ed25519), publicKey).toString("hex", 0, 4);

/** Undefined where the text is no key of this algorithm, or its id is not its own. */
export const parseVerifierKey = (text: string): VerifierKey | undefined => {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  const [, name = "", id = "", encoded = ""] = match ?? [];
  const bytes = fromBase64(encoded);
  if (!match || !isName(name) || bytes?.length !== 33 || bytes[0] !== ed25519) return undefined;
  const raw = bytes.subarray(1);
  if (idOf(name, raw) !== id) return undefined;
  const key = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") },
    format: "jwk",
  });
  return { name, id, text, key };
};

/** What stands before the seed in PKCS #8. */
const seedPrefix = Buffer.from("302e020100300506032b657004220420", "hex");

const encoded = (bytes: Buffer): string => Buffer.concat([Uint8Array.of(ed25519), bytes]).toString("base64");

const signerOf = (name: string, seed: Buffer): SignerKey | undefined => {
  const key = createPrivateKey({ key: Buffer.concat([seedPrefix, seed]), format: "der", type: "pkcs8" });
  const { x } = createPublicKey(key).export({ format: "jwk" });
  const raw = Buffer.from(x ?? "", "base64url");
  const id = idOf(name, raw);
  const verifier = parseVerifierKey(`${name}+${id}+${encoded(raw)}`);
  return verifier && { name, id, text: `PRIVATE+KEY+${name}+${id}+${encoded(seed)}`, verifier, key };
};

/** Undefined where the text is no key of this algorithm, or its id is not its own. */
export const parseSignerKey = (text: string): SignerKey | undefined => {
  const match = /^PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  const [, name = "", id = "", encoded = ""] = match ?? [];
  const bytes = fromBase64(encoded);
  if (!match || !isName(name) || bytes?.length !== 33 || bytes[0] !== ed25519) return undefined;
  const signer = signerOf(name, bytes.subarray(1));
  return signer?.id === id ? signer : undefined;
};

/** A new key of this name. @throws Error for a name with spaces or a `+` */
export const newSignerKey = (name: string): SignerKey => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const seed = Buffer.from(privateKey.export({ format: "jwk" }).d ?? "", "base64url");
  const signer = isName(name) ? signerOf(name, seed) : undefined;
  if (!signer) throw new Error(`\`${name}\` can't name a key`);
  return signer;
};

/** Signs a text, which ends in a line feed, with each of the keys. */
export const signNote = (text: string, signers: readonly SignerKey[]): string => {
  const lines = signers.map(({ name, id, key }) => {
    const signature = Buffer.concat([Buffer.from(id, "hex"), sign(null, Buffer.from(text, "utf8"), key)]);
    return `— ${name} ${signature.toString("base64")}\n`;
  });
  return `${text}\n${lines.join("")}`;
};

/** What a note came to: its text and the keys that signed it, or what is wrong with it. */
export type OpenedNote = { text: string; signedBy: VerifierKey[] } | { fault: string };

type Signature = { name: string; id: string; bytes: Buffer };

const signatureOf = (line: string): Signature | undefined => {
  const match = /^— (\S+) ([A-Za-z0-9+/=]+)$/.exec(line);
  const bytes = fromBase64(match?.[2] ?? "");
  if (!match || !bytes || bytes.length < 5) return undefined;
  return { name: match[1]!, id: bytes.toString("hex", 0, 4), bytes: bytes.subarray(4) };
};

/**
 * Opens a note: at least one of the keys must have signed it, and no signature of theirs may be wrong. Signatures of
 * other keys say nothing.
 */
export const openNote = (note: string, keys: readonly VerifierKey[]): OpenedNote => {
  const end = note.lastIndexOf("\n\n");
  // oxlint-disable-next-line no-control-regex -- what a note must not hold
  if (end < 0 || !note.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(note))
    return { fault: "it is no signed note" };
  const text = note.slice(0, end + 1);
  const lines = note.slice(end + 2, -1).split("\n");
  const signatures = lines.map(signatureOf).filter((signature) => signature !== undefined);
  if (lines.length > signaturesMax || signatures.length !== lines.length)
    return { fault: "its signature lines can't be read" };
  const signedBy: VerifierKey[] = [];
  for (const { name, id, bytes } of signatures) {
    const known = keys.find((key) => key.name === name && key.id === id);
    if (!known || signedBy.includes(known)) continue;
    if (!verify(null, Buffer.from(text, "utf8"), known.key, bytes))
      return { fault: `the signature of \`${name}+${id}\` is wrong` };
    signedBy.push(known);
  }
  return signedBy.length === 0 ? { fault: "no key that is trusted signed it" } : { text, signedBy };
};
