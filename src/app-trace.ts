/** What a group commit was for each of the requests that waited for it, as spans of theirs. */
import type { CommitSeen } from "./store/acts/threaded.ts";
import { epochMs, type Trace } from "./telemetry/trace.ts";

const isTrace = (value: unknown): value is Trace =>
  typeof value === "object" && value !== null && "stage" in value;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * Questions that were committed together share their spans: `queue` until the commit began, `judge` for all of its judgements,
 * one after another, and `commit` for what is left until everything was durable.
 */
export const traceCommit = ({ traces, queuedMs, judgedMs, commitMs, questions, at }: CommitSeen): void => {
  const judged = at + sum(judgedMs);
  // Two threads may measure a moment otherwise.
  const end = Math.min(judged + commitMs, epochMs());
  for (const [position, trace] of traces.entries()) {
    if (!isTrace(trace)) continue;
    trace.stage("queue", at - queuedMs[position]!, at);
    trace.stage("judge", at, Math.min(judged, end), { "remit.commit.judgements": judgedMs.length });
    trace.stage("commit", Math.min(judged, end), end, { "remit.commit.questions": questions });
  }
};
