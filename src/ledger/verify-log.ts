/** Checks a log that is read by its tiles, or an export of it. */
import { parseExportHead, parseExportLine } from "./export.ts";
import { entriesFrom, leafHashesOf, type LogSource, newestOf } from "./log-source.ts";
import { rootFromRange } from "./merkle.ts";
import { fromBase64 } from "./note.ts";
import { openAll, type Trust } from "./trust.ts";
import { createVerifier, type Verified } from "./verify.ts";

type Progress = (done: number) => void;

const progressEvery = 10_000;

/** Verifies a log whole: every entry that it serves, every tile of leaves, and every checkpoint that is known. */
export const verifyLog = async (source: LogSource, trust: Trust, progress: Progress): Promise<Verified> => {
  const { note, size } = await newestOf(source);
  const { heads, faults } = openAll([...trust.checkpoints, { note, from: "the log" }], trust.keys);
  const closing = await source.closing?.();
  const first = closing?.before ?? 0;
  const verifier = createVerifier({ first, closing, heads });
  for (const fault of faults) verifier.fault(fault);
  const hashOf = leafHashesOf(source, size);
  for (let index = 0; index < first; index++) verifier.pruned(await hashOf(index));
  for await (const { index, leaf } of entriesFrom(source, { first, end: size, size })) {
    verifier.entry({ index, leaf, tileHash: await hashOf(index) });
    if ((index + 1) % progressEvery === 0) progress(index + 1);
  }
  return verifier.end();
};

/** Verifies an export, line by line: the entries it holds are those of the checkpoint it bears, without a gap. */
export const verifyExport = async (
  lines: AsyncIterable<string>,
  trust: Trust,
  progress: Progress,
): Promise<Verified> => {
  const iterator = lines[Symbol.asyncIterator]();
  const begin = await iterator.next();
  const head = begin.done === true ? undefined : parseExportHead(begin.value);
  const first = head?.first ?? 0;
  const found = head ? [{ note: head.checkpoint, from: "the export" }] : [];
  const { heads, faults } = openAll([...trust.checkpoints, ...found], trust.keys);
  // Checkpoints of more than the export holds say nothing of a part.
  const whole = first === 0 ? heads.filter(({ size }) => size <= (head?.count ?? 0)) : [];
  const verifier = createVerifier({ first, heads: whole, keepHashes: true });
  for (const fault of faults) verifier.fault(fault);
  if (!head) verifier.fault({ kind: "unreadable", message: "the first line is not that of an export" });
  let number = 1;
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    number++;
    const entry = parseExportLine(next.value);
    if (entry) verifier.entry(entry);
    else if (next.value !== "")
      verifier.fault({ kind: "unreadable", message: `line ${number} holds no entry` });
    if (number % progressEvery === 0) progress(number);
  }
  const entries = verifier.end();
  const signed = heads.find(({ size }) => size === Number(head?.checkpoint.split("\n")[1]));
  if (head && signed) {
    const path = head.proof.map(fromBase64).filter((hash) => hash !== undefined);
    if (entries.hashes.length < head.count)
      verifier.fault({
        kind: "entry_missing",
        index: entries.size,
        message: `the export says that it holds ${head.count} entries, it holds ${entries.hashes.length}`,
      });
    const root = rootFromRange(entries.hashes, first, signed.size, path);
    if (head.count > 0 && (!root || Buffer.compare(root, signed.root) !== 0))
      verifier.fault({
        kind: "checkpoint_mismatch",
        message: `the entries from ${first} on are not those that the checkpoint of ${signed.size} entries was signed of`,
      });
  }
  return verifier.end();
};
