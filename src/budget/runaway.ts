/**
 * Runaway protection: caps on what one run may do, and loops found by what an agent asks for again and again. Pure:
 * the store keeps the run's state, these rules say what it means.
 */
import type { Micros } from "../kit/clock.ts";
import type { Runaway } from "./budget.ts";

/** The rules as they meet one question. */
export type RunawayRules = {
  rules: Runaway;
  /** Names what was asked for: the same action on the same resource with the same arguments. */
  fingerprint: string;
};

/** What is known of a run before the question. */
export type RunState = {
  startedAt: Micros;
  /** Permits so far; and the most money that the run, or one above it, has used and holds. */
  calls: number;
  usdMicros: number;
  /** Which of its parent's runs it is, counted from 1; 0 without a parent. */
  children: number;
  /** Runs above it. */
  depth: number;
  /** The latest questions, newest first. */
  recent: { fingerprint: string; at: Micros }[];
};

export type RunawayFinding = { reason: "runaway_limit" | "loop_detected"; detail: string };

/** So many questions of a run are remembered. */
export const recentMax = 64;

const capFinding = (
  { run }: Runaway,
  state: RunState,
  asked: { at: Micros; usdMicros: number },
): RunawayFinding | undefined => {
  const seconds = Math.floor((asked.at - state.startedAt) / 1_000_000);
  const over: [number, number | undefined, string][] = [
    [state.calls + 1, run.calls, "calls"],
    [state.usdMicros + asked.usdMicros, run.usdMicros, "usd_micros"],
    [seconds, run.seconds, "seconds"],
    [state.children, run.children, "children"],
    [state.depth, run.depth, "depth"],
  ];
  const found = over.find(([value, cap]) => cap !== undefined && value > cap);
  if (!found) return undefined;
  const [value, cap, what] = found;
  return {
    reason: "runaway_limit",
    detail: `the run may have at most ${cap} ${what}, this would be ${value}`,
  };
};

/** How often the newest pattern of this length has just been repeated, the question included. */
const repeats = (fingerprints: readonly string[], length: number): number => {
  let at = length;
  while (at < fingerprints.length && fingerprints[at] === fingerprints[at - length]) at++;
  return Math.floor(at / length);
};

const loopFinding = (
  { loop }: Runaway,
  state: RunState,
  asked: { at: Micros; fingerprint: string },
): RunawayFinding | undefined => {
  if (!loop) return undefined;
  const since = asked.at - loop.withinMs * 1000;
  const recent = state.recent.filter(({ at }) => at >= since).map(({ fingerprint }) => fingerprint);
  const all = [asked.fingerprint, ...recent];
  const times = all.filter((fingerprint) => fingerprint === asked.fingerprint).length;
  if (times >= loop.repeats)
    return { reason: "loop_detected", detail: `the same was asked ${times} times within the window` };
  for (const length of [2, 3, 4]) {
    if (repeats(all, length) >= loop.repeats)
      return {
        reason: "loop_detected",
        detail: `a cycle of ${length} questions was repeated ${loop.repeats} times`,
      };
  }
  return undefined;
};

/**
 * What the rules find wrong with one more question of a run, or nothing. The question counts: with `repeats: 5` the
 * fifth of its kind is the loop.
 */
export const runawayFinding = (
  rules: Runaway,
  state: RunState,
  asked: { at: Micros; usdMicros: number; fingerprint: string },
): RunawayFinding | undefined => capFinding(rules, state, asked) ?? loopFinding(rules, state, asked);

/** What the rules find wrong with one more run of an agent that began so many within the time, or nothing. */
export const runsFinding = ({ agent }: Runaway, begun: number): RunawayFinding | undefined =>
  agent === undefined || begun < agent.runs
    ? undefined
    : {
        reason: "runaway_limit",
        detail: `the agent may begin at most ${agent.runs} runs within ${agent.withinMs / 1000} seconds, this would be ${begun + 1}`,
      };
