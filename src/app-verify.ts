/** Verification as the CLI needs it: of a database, an export or a running service, by keys and checkpoints given. */
import { closeSync, createReadStream, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { ledgerFile } from "./data-directory.ts";
import { Problem } from "./kit/problem.ts";
import { anchoredFile, checkpointFile } from "./ledger/anchor.ts";
import { parseClosing } from "./ledger/closing.ts";
import { parseHead } from "./ledger/checkpoint.ts";
import { readVerifiers, verifierFile } from "./ledger/key-file.ts";
import type { LogSource } from "./ledger/log-source.ts";
import { parseVerifierKey, type VerifierKey } from "./ledger/note.ts";
import { tilePath } from "./ledger/tile.ts";
import { checkpointsOf, type Found, openAll } from "./ledger/trust.ts";
import type { Verified } from "./ledger/verify.ts";
import { parseEvidence, verifyEvidence } from "./ledger/evidence.ts";
import { verifyExport, verifyLog } from "./ledger/verify-log.ts";
import { verifyDatabase } from "./store/sqlite/verify.ts";

/** What is to be verified. */
export type Target =
  | { kind: "data"; dir: string }
  | { kind: "export"; file: string }
  | { kind: "server"; url: string; token: string | undefined };

export type Given = {
  /** Verifier keys, or files of them. */
  keys: readonly string[];
  /** Files of checkpoints that the verifier has. */
  checkpoints: readonly string[];
  /** Files that checkpoints were anchored in. */
  anchors: readonly string[];
};

const keysOf = (texts: readonly string[]): VerifierKey[] =>
  texts.flatMap((text) => {
    const key = parseVerifierKey(text);
    if (key) return [key];
    if (existsSync(text)) return readVerifiers(text);
    throw new Problem("invalid_request", `\`${text}\` is neither a key nor a file of keys`, { field: "key" });
  });

const checkpointsIn = (file: string): Found[] => checkpointsOf(file, readFileSync(file, "utf8"));

/** A log behind HTTP, as C2SP tlog-tiles has it. `token` authenticates where the log is not public. */
export const logAt = (prefix: string, token: string | undefined): LogSource => {
  const get = async (path: string): Promise<Response> => {
    const url = `${prefix.replace(/\/$/, "")}/${path}`;
    const response = await fetch(
      url,
      token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } },
    );
    if (!response.ok) throw new Problem("not_found", `${url} answered ${response.status}`);
    return response;
  };
  return {
    checkpoint: async () => (await get("checkpoint")).text(),
    closing: async () => {
      const { closing } = z.object({ closing: z.unknown() }).parse(await (await get("closing")).json());
      return closing === null ? undefined : parseClosing(closing);
    },
    tile: async (name) => new Uint8Array(await (await get(tilePath(name))).arrayBuffer()),
  };
};

/** What verification came to; evidence makes claims besides. */
export type Checked = Pick<Verified, "faults" | "notes" | "size"> & { more?: number; claims?: string[] };

/** What the directory itself says was anchored: it may lie, so it only tells where to look. */
const claimNote = (dir: string | undefined): string => {
  const file = dir === undefined ? "" : anchoredFile(dir);
  if (!existsSync(file)) return "";
  const size = parseHead(`${readFileSync(file, "utf8").split("\n\n")[0]}\n`)?.size ?? 0;
  return `; the service says that its anchor took ${size}: give what the anchor holds with --anchors`;
};

/** From where on no checkpoint is anchored outside. */
const anchorNote = (
  anchors: readonly Found[],
  keys: readonly VerifierKey[],
  { size }: Checked,
  dir: string | undefined,
): string[] => {
  const newest = openAll(anchors, keys).heads.reduce((most, head) => Math.max(most, head.size), 0);
  return newest >= size
    ? []
    : [
        `unanchored since entry ${newest}: only checkpoints kept elsewhere show a ledger that was rewritten with its key${claimNote(dir)}`,
      ];
};

/** Exports are lines of JSON and may be large; evidence is one value. */
const isLines = (file: string): boolean => {
  const handle = openSync(file, "r");
  try {
    const start = Buffer.alloc(16);
    readSync(handle, start);
    return start.toString().startsWith('{"remit_export"');
  } finally {
    closeSync(handle);
  }
};

const verifyTarget = (
  target: Target,
  trust: { keys: VerifierKey[]; checkpoints: Found[] },
  progress: (done: number) => void,
): Promise<Checked> | Checked => {
  switch (target.kind) {
    case "data":
      return verifyDatabase(ledgerFile(target.dir), trust, progress);
    case "export": {
      const evidence = isLines(target.file) ? undefined : parseEvidence(readFileSync(target.file, "utf8"));
      if (evidence) return verifyEvidence(evidence, trust);
      const lines = createInterface({ input: createReadStream(target.file), crlfDelay: Infinity });
      return verifyExport(lines, trust, progress);
    }
    case "server":
      return verifyLog(
        logAt(`${target.url.replace(/\/$/, "")}/v1/ledger/log`, target.token),
        trust,
        progress,
      );
  }
};

/** Verifies, and says from where on nothing is anchored. @throws Problem for keys and files that can't be read */
export const verify = async (
  target: Target,
  given: Given,
  progress: (done: number) => void = () => undefined,
): Promise<Checked> => {
  const own = target.kind === "data" && given.keys.length === 0 ? verifierFile(target.dir) : undefined;
  const keys = own === undefined ? keysOf(given.keys) : existsSync(own) ? readVerifiers(own) : [];
  const anchors = given.anchors.flatMap(checkpointsIn);
  const kept = target.kind === "data" ? join(checkpointFile(target.dir)) : "";
  const checkpoints = [
    ...anchors,
    ...given.checkpoints.flatMap(checkpointsIn),
    ...(kept !== "" && existsSync(kept) ? checkpointsIn(kept) : []),
  ];
  const verified = await verifyTarget(target, { keys, checkpoints }, progress);
  const notes = [
    ...(own === undefined ? [] : ["the keys are those of the data directory itself: give yours with --key"]),
    ...(verified.claims
      ? []
      : anchorNote(
          [...anchors, ...given.checkpoints.flatMap(checkpointsIn)],
          keys,
          verified,
          target.kind === "data" ? target.dir : undefined,
        )),
  ];
  return { ...verified, notes: [...verified.notes, ...notes] };
};
