/** Says how permitted actions ended, beside them: a report that fails holds up nothing, is tried again, and is given up at last. */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "./client.ts";
import { PdpError } from "./fault.ts";
import type { OutcomeReport } from "./settlement.ts";

export type OutcomeReporter = {
  /** Never rejects, never waits. A decision without an id, as other PDPs make them, has nothing to be reported of. */
  report: (decision: string | undefined, ended: Omit<OutcomeReport, "decision">) => void;
  /** Waits for what is on its way, but not longer; what is left is given up. */
  drain: (limitMs: number) => Promise<void>;
};

export type OutcomeOptions = {
  client: Pick<Client, "reportOutcome">;
  /** Hears of a report that was given up. */
  onLost?: ((decision: string, why: string) => void) | undefined;
  /** How long to wait before each further try. */
  waitsMs?: readonly number[] | undefined;
};

/** So many reports may be on their way; when the PDP is gone for long, the newest are given up. */
const runningMax = 1000;
const usualWaitsMs = [200, 1000, 5000];

/** Whether it may help to try again. */
const isPassing = (error: unknown): boolean => {
  if (!(error instanceof PdpError)) return false;
  const { reason, status } = error;
  if (reason === "http_status")
    return status === undefined || status >= 500 || status === 429 || status === 408;
  return reason === "timeout" || reason === "unreachable" || reason === "metadata_unavailable";
};

/** Makes a reporter. */
export const createOutcomeReporter = ({
  client,
  onLost = () => {},
  waitsMs = usualWaitsMs,
}: OutcomeOptions): OutcomeReporter => {
  const running = new Set<Promise<void>>();
  const stopped = new AbortController();
  // Each report on its way listens.
  setMaxListeners(0, stopped.signal);
  const send = async (report: OutcomeReport): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      try {
        await client.reportOutcome(report, { signal: stopped.signal });
        return;
      } catch (error) {
        const wait = waitsMs[attempt];
        if (stopped.signal.aborted || wait === undefined || !isPassing(error)) {
          onLost(report.decision, error instanceof Error ? error.message : String(error));
          return;
        }
        // Stopping ends the wait; the next try then fails.
        await sleep(wait, undefined, { signal: stopped.signal, ref: false }).catch(() => {});
      }
    }
  };
  return {
    report: (decision, ended) => {
      if (decision === undefined) return;
      if (running.size >= runningMax) {
        onLost(decision, "too many reports are on their way");
        return;
      }
      const sent = send({ decision, ...ended }).finally(() => running.delete(sent));
      running.add(sent);
    },
    drain: async (limitMs) => {
      const enough = new AbortController();
      await Promise.race([
        Promise.all(running),
        sleep(limitMs, undefined, { signal: enough.signal }).catch(() => {}),
      ]);
      enough.abort();
      stopped.abort();
    },
  };
};
