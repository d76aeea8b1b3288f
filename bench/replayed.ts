/**
 * A ledger of decisions of every sort, asked of a real service, and its replay: each decision is judged again under the
 * policies of then, on the facts and balances of then, and must come out as it was recorded.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { repository } from "../conformance-tests/service.ts";
import { recordLedger } from "./replay-ledger.ts";

export type Replay = {
  judged: number;
  /** Answers given again under their key. */
  repeated: number;
  /** Outcome or ground differ from what is recorded. */
  different: number;
  /** How many were recorded with which reason. */
  reasons: Record<string, number>;
  askedMs: number;
  replayedMs: number;
};

const simulate = async (
  dir: string,
  options: readonly string[],
): Promise<Pick<Replay, "judged" | "repeated" | "different">> => {
  const args = [join(repository, "dist/cli/main.js"), "policy", "simulate", "--format", "json", ...options];
  // It exits with 1 where something differs, and has told what.
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: dir,
    maxBuffer: 1 << 30,
  }).catch((error: { code?: unknown; stdout: string }) => {
    if (error.code === 1 && error.stdout !== "") return error;
    throw error;
  });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the command prints
  const { judged, repeated, erased, flipped, changed } = JSON.parse(stdout) as Record<
    "erased" | "flipped" | "changed",
    unknown[]
  > & { judged: number; repeated: number };
  return { judged, repeated, different: erased.length + flipped.length + changed.length };
};

/** Records at least so many decisions, and replays them; with `edit`, under policies that it changed. */
export const replay = async (decisions: number, edit?: (policies: string) => void): Promise<Replay> => {
  const began = performance.now();
  const { dir, reasons, remove } = await recordLedger(decisions);
  try {
    const askedMs = performance.now() - began;
    edit?.(join(dir, "policies"));
    const replayedFrom = performance.now();
    const found = await simulate(dir, edit ? ["--candidate", "policies"] : ["--recorded"]);
    return { ...found, reasons, askedMs, replayedMs: performance.now() - replayedFrom };
  } finally {
    remove();
  }
};
