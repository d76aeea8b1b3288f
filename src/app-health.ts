/** Whether the service can decide, and its figures of the moment: asked of every part, none of which may hold up the answer. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Loading, policyCheck } from "./app-loading.ts";
import type { Writer } from "./app-thread.ts";
import type { Tokens } from "./app-tokens.ts";
import type { Freshness } from "./app-fresh.ts";
import type { Config } from "./config/config.ts";
import { ledgerFile } from "./data-directory.ts";
import type { Worlds } from "./decision/worlds.ts";
import type { Check } from "./http/operations-routes.ts";
import type { HttpServer } from "./http/server.ts";
import type { Anchored, Publisher } from "./ledger/anchor.ts";
import type { Clock } from "./kit/clock.ts";
import type { ThreadedLedger } from "./store/acts/threaded.ts";
import type { Figures } from "./telemetry/figures.ts";

export type HealthParts = {
  worlds: Worlds;
  loading: Loading;
  ledger: ThreadedLedger;
  writer: Writer;
  tokens: Tokens;
  clock: Clock;
  publisher: Publisher;
  config: Config;
  /** Undefined where nobody else shares the ledger. */
  freshness: Freshness | undefined;
};

/** What is known only once it runs. */
export type RunningParts = {
  open: HttpServer["open"];
  /** How what is done behind the answers fares. */
  background: () => Promise<Record<string, Check>>;
};

export type Health = {
  checks: () => Promise<Record<string, Check>>;
  figures: () => Promise<Figures>;
};

/** How long the ledger's thread may take to answer: that it hangs has to show within a second. */
const patienceMs = 800;

const inTime = async <T>(ask: Promise<T>): Promise<T> => {
  const over = new AbortController();
  const late = async (): Promise<never> => {
    await sleep(patienceMs, undefined, { signal: over.signal });
    throw new Error(`no answer within ${patienceMs} ms`);
  };
  const waited = late();
  waited.catch(() => undefined);
  try {
    return await Promise.race([ask, waited]);
  } finally {
    over.abort();
  }
};

/** An answer of the writer as a check; a writer that doesn't answer has failed. */
const askCheck = async (ask: Promise<{ ok: true } | { ok: false; error: string }>): Promise<Check> => {
  try {
    const answer = await inTime(ask);
    return answer.ok ? { status: "ok" } : { status: "failed", error: answer.error };
  } catch (error) {
    return { status: "failed", error: error instanceof Error ? error.message : String(error) };
  }
};

/** A ledger that takes writes is of no use while a commit hangs before all others. */
const ledgerCheck = async (ledger: ThreadedLedger): Promise<Check> => {
  const writable = await askCheck(ledger.writable());
  const ms = ledger.underWayMs();
  if (writable.status !== "ok" || ms <= patienceMs) return writable;
  return { status: "failed", error: `a commit has been under way for ${Math.round(ms)} ms` };
};

/** No clock of today is before it. */
const noEarlierMs = Date.UTC(2025, 0, 1);

/** How far the clock of the machine may go back: less is made up for by waiting. */
const backMsMax = { stale: 2000, failed: 60_000 };

/**
 * Whether the machine's clock makes sense: it isn't behind what was recorded, in this life or an earlier one. Time that stands
 * still until the clock has caught up would keep windows, holds and tokens open.
 */
export const clockCheck = (wallMs: number, recordedMs: number): Check => {
  if (wallMs < noEarlierMs)
    return { status: "failed", error: `the clock says ${new Date(wallMs).toISOString()}` };
  const backMs = recordedMs - wallMs;
  if (backMs <= backMsMax.stale) return { status: "ok" };
  const error = `the clock is ${Math.round(backMs / 1000)} s behind what was recorded`;
  return { status: backMs > backMsMax.failed ? "failed" : "stale", error };
};

/** A checkpoint that isn't anchored yet is no reason to stop answering, but somebody should look. */
const anchorCheck = (anchored: Anchored | undefined): Record<string, Check> => {
  if (!anchored) return {};
  const { size, failing } = anchored;
  if (!failing) return { anchor: { status: "ok", size } };
  const error = `unanchored since entry ${size}, since ${failing.since.toISOString()}, ${failing.attempts} attempts: ${failing.error}`;
  return { anchor: { status: "stale", error, size } };
};

const checksOf = async (
  { worlds, loading, ledger, writer, tokens, clock, publisher, freshness }: HealthParts,
  background: RunningParts["background"],
  signedAt: number,
): Promise<Record<string, Check>> => {
  const [writable, engine] = await Promise.all([
    ledgerCheck(ledger),
    askCheck(writer.calls.call("selfTest", undefined)),
  ]);
  return {
    policy_set: policyCheck(worlds, loading),
    ledger: writable,
    ...(freshness ? { shared: freshness.check() } : {}),
    engine,
    clock: clockCheck(freshness ? freshness.now() / 1000 : Date.now(), Math.max(clock(), signedAt) / 1000),
    ...tokens.checks(),
    ...anchorCheck(publisher.anchored()),
    ...(await background()),
  };
};

/** The size of a file; none where there is none. */
const bytesOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

const readFigures = async (
  { ledger, writer, clock, config }: HealthParts,
  open: HttpServer["open"],
  checks: Promise<Figures["checks"]>,
): Promise<Figures> => {
  const at = clock();
  const read = inTime(ledger.figures(at)).catch(() => undefined);
  const { requests, connections } = open();
  const [found, checked] = await Promise.all([read, checks]);
  return {
    at,
    ...(found ? { ledger: found } : {}),
    waiting: ledger.waiting(),
    requestsOpen: requests,
    connectionsOpen: connections,
    walBytes: config.store === undefined ? bytesOf(`${ledgerFile(config.data)}-wal`) : 0,
    writerBusyMs: writer.busyMs(),
    checks: checked,
  };
};

/** How long one answer serves all who ask: whoever asks often mustn't keep the ledger's thread from deciding. */
const freshMs = 100;

/** Asks at most so often, once for all who wait. */
const shared = <T>(ask: () => Promise<T>): (() => Promise<T>) => {
  let asked: { answer: Promise<T>; at: number } | undefined;
  return () => {
    const now = performance.now();
    if (!asked || now - asked.at > freshMs) asked = { answer: ask(), at: now };
    return asked.answer;
  };
};

/** Looks after everything. */
export const createHealth = async (
  parts: HealthParts,
  { open, background }: RunningParts,
): Promise<Health> => {
  // What was signed before this start is as much a reason to doubt the clock as what this process has seen.
  const { signedAt } = await parts.ledger.figures(parts.clock());
  const checks = shared(() => checksOf(parts, background, signedAt));
  return { checks, figures: shared(() => readFigures(parts, open, checks())) };
};
