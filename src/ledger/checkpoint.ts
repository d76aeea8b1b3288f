/** Checkpoints (C2SP tlog-checkpoint): size and root of the tree in a signed note, and receipts (C2SP tlog-proof). */
import { hashBytes } from "./merkle.ts";
import { fromBase64, openNote, type SignerKey, signNote, type VerifierKey } from "./note.ts";

/** The first `size` entries of the log `origin` have this root. */
export type TreeHead = { origin: string; size: number; root: Uint8Array };

const headText = ({ origin, size, root }: TreeHead): string =>
  `${origin}\n${size}\n${Buffer.from(root).toString("base64")}\n`;

/** Signs a tree head. The name of every key is the origin. */
export const signCheckpoint = (head: TreeHead, signers: readonly SignerKey[]): string =>
  signNote(headText(head), signers);

const parseCount = (text: string): number | undefined => {
  const count = Number(text);
  return /^(?:0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(count) ? count : undefined;
};

/** The tree head in a note, signed or not; undefined where there is none. Lines after the third are for others. */
export const parseHead = (text: string): TreeHead | undefined => {
  const [origin = "", sizeText = "", rootText = "", ...rest] = text.split("\n");
  const size = parseCount(sizeText);
  const root = fromBase64(rootText);
  if (origin === "" || size === undefined || root?.length !== hashBytes || rest.length === 0)
    return undefined;
  return { origin, size, root };
};

/** What a checkpoint came to. */
export type OpenedCheckpoint = { head: TreeHead; signedBy: VerifierKey[] } | { fault: string };

/** Opens a checkpoint: signed by a key whose name is its origin. */
export const openCheckpoint = (note: string, keys: readonly VerifierKey[]): OpenedCheckpoint => {
  const opened = openNote(note, keys);
  if ("fault" in opened) return opened;
  const head = parseHead(opened.text);
  if (!head) return { fault: "it holds no size and root" };
  if (!opened.signedBy.some(({ name }) => name === head.origin))
    return { fault: `it is of the log \`${head.origin}\`, which none of its keys is named after` };
  return { head, signedBy: opened.signedBy };
};

/** That an entry stands at `index` in the tree of a checkpoint. */
export type Receipt = { index: number; path: readonly Uint8Array[]; checkpoint: string };

const receiptHead = "c2sp.org/tlog-proof@v1";

/** The receipt as a `.tlog-proof` file holds it. */
export const receiptText = ({ index, path, checkpoint }: Receipt): string =>
  [
    receiptHead,
    `index ${index}`,
    ...path.map((hash) => Buffer.from(hash).toString("base64")),
    "",
    checkpoint,
  ].join("\n");

/** Reads a receipt; undefined where the text is none. What an issuer adds in `extra` is passed over. */
export const parseReceipt = (text: string): Receipt | undefined => {
  const end = text.indexOf("\n\n");
  const lines = text.slice(0, Math.max(0, end)).split("\n");
  if (lines.shift() !== receiptHead) return undefined;
  if (lines[0]?.startsWith("extra ") === true) {
    const extra = lines.shift()!.slice("extra ".length);
    if (fromBase64(extra) === undefined) return undefined;
  }
  const index = parseCount(/^index (\d+)$/.exec(lines.shift() ?? "")?.[1] ?? "");
  const path = lines.map(fromBase64);
  if (index === undefined || path.length > 63) return undefined;
  const hashes = path.filter((hash) => hash?.length === hashBytes).filter((hash) => hash !== undefined);
  return hashes.length === path.length ? { index, path: hashes, checkpoint: text.slice(end + 2) } : undefined;
};
