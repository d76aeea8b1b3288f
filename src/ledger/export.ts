/**
 * Exports: a stretch of the ledger, an entry a line, with the checkpoint and the hashes beside it that prove it whole.
 * The first line says what it is of; the others hold each entry's exact bytes.
 */
import { z } from "zod";
import { entriesFrom, type LogSource, proofFrom } from "./log-source.ts";
import { rangePath } from "./merkle.ts";
import { leafHash } from "./entry.ts";

export type ExportHead = { first: number; count: number; proof: string[]; checkpoint: string };

const headShape = z.strictObject({
  remit_export: z.literal(1),
  first: z.number().int().min(0),
  count: z.number().int().min(0),
  proof: z.array(z.string()),
  checkpoint: z.string(),
});

/** The first line of an export; undefined where it is none. */
export const parseExportHead = (line: string): ExportHead | undefined => {
  try {
    const { remit_export: _version, ...head } = headShape.parse(JSON.parse(line));
    return head;
  } catch {
    return undefined;
  }
};

const linePattern = /^\{"index":(\d{1,16}),"leaf_hash":"([\w-]{43})","leaf":(.*)\}$/s;

/** An entry's line; undefined where it is none. */
export const parseExportLine = (
  line: string,
): { index: number; leaf: Buffer; leafHash: Buffer } | undefined => {
  const match = linePattern.exec(line);
  if (!match) return undefined;
  return {
    index: Number(match[1]),
    leafHash: Buffer.from(match[2]!, "base64url"),
    leaf: Buffer.from(match[3]!, "utf8"),
  };
};

export type Range = { first: number; end: number };

/** The lines of an export, without their line feeds. `note` is a checkpoint of `size` entries. */
export async function* exportLines(
  source: LogSource,
  { note, size }: { note: string; size: number },
  { first, end }: Range,
): AsyncGenerator<string> {
  const count = Math.max(0, Math.min(end, size) - first);
  const path =
    count === 0 ? [] : await proofFrom(source, size, (node) => rangePath(node, first, first + count, size));
  const proof = path.map((hash) => Buffer.from(hash).toString("base64"));
  yield JSON.stringify({ remit_export: 1, first, count, proof, checkpoint: note });
  for await (const { index, leaf } of entriesFrom(source, { first, end: first + count, size })) {
    const hash = leafHash(leaf).toString("base64url");
    yield `{"index":${index},"leaf_hash":"${hash}","leaf":${Buffer.from(leaf).toString("utf8")}}`;
  }
}
