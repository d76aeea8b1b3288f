/** One deadline for everything a call does: discovery, both tries, the wait between them and the body's last byte. */
import { type Fault, failure } from "./fault.ts";

export type Deadline = {
  /** Fires at the deadline and with the caller's own signal. */
  signal: AbortSignal;
  /** The fault of a deadline that passed; never rejects, and never settles once `end` was called in time. */
  passed: Promise<Fault>;
  leftMs: () => number;
  /** Stops the timer and lets go of the caller's signal. */
  end: () => void;
};

/** Starts a deadline. `outer` is the caller's own signal. */
export const startDeadline = (timeoutMs: number, outer?: AbortSignal): Deadline => {
  const controller = new AbortController();
  const until = performance.now() + timeoutMs;
  let resolve: (fault: Fault) => void;
  const passed = new Promise<Fault>((settle) => {
    resolve = settle;
  });
  const stop = (fault: Fault): void => {
    resolve(fault);
    controller.abort();
  };
  const abort = (): void => stop(failure("aborted", "the call was aborted").fault);
  const timer = setTimeout(
    () => stop(failure("timeout", `no answer within ${timeoutMs} ms`).fault),
    timeoutMs,
  );
  if (outer?.aborted) abort();
  else outer?.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    passed,
    leftMs: () => until - performance.now(),
    end: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", abort);
    },
  };
};
