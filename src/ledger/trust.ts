/** What a verifier brings along: keys that it trusts, and checkpoints that it has from elsewhere. */
import { checkpointsIn } from "./anchor.ts";
import { openCheckpoint, type TreeHead } from "./checkpoint.ts";
import type { VerifierKey } from "./note.ts";
import type { Fault } from "./verify.ts";

/** A checkpoint, and where it was found. */
export type Found = { note: string; from: string };

export type Trust = { keys: readonly VerifierKey[]; checkpoints: readonly Found[] };

/** The checkpoints of a file, signed or forged; a file with none is at fault. */
export const checkpointsOf = (from: string, text: string): Found[] => {
  const notes = checkpointsIn(text);
  return (notes.length === 0 ? [text] : notes).map((note) => ({ note, from }));
};

/** Opens checkpoints: the heads that were signed, and a fault for each that wasn't, or that contradicts another. */
export const openAll = (
  found: readonly Found[],
  keys: readonly VerifierKey[],
): { heads: TreeHead[]; faults: Fault[] } => {
  const bySize = new Map<number, TreeHead>();
  const faults: Fault[] = [];
  for (const { note, from } of found) {
    const opened = openCheckpoint(note, keys);
    if ("fault" in opened) {
      const size = /^[^\n]*\n(\d+)\n/.exec(note)?.[1];
      faults.push({
        kind: "checkpoint_forged",
        message: `the checkpoint${size === undefined ? "" : ` of ${size} entries`} in ${from} can't be trusted: ${opened.fault}`,
      });
      continue;
    }
    const { head } = opened;
    const other = bySize.get(head.size);
    if (other && Buffer.compare(other.root, head.root) !== 0)
      faults.push({
        kind: "checkpoint_mismatch",
        message: `two checkpoints of ${head.size} entries contradict each other (${from}): others were shown another ledger`,
      });
    else bySize.set(head.size, head);
  }
  return { heads: [...bySize.values()], faults };
};
