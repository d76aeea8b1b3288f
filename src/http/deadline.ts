/** A time budget for answers. What is late is answered 503; what it came to is in the ledger, if it came to anything. */
import { Problem } from "../kit/problem.ts";

/** Gives what work comes to. @throws Problem `timed_out` when it takes too long */
export type Deadline = <T>(work: Promise<T>) => Promise<T>;

const late = (ms: number): Problem =>
  new Problem("timed_out", `there was no answer within ${ms} ms; ask again under the same idempotency key`);

/** How often what was answered is forgotten. */
const tidyMs = 250;

type Waiting = { until: number; give: (() => void) | undefined };

/** Passes on what work comes to; whoever was given up before hears nothing of it. */
const settle = async <T>(
  work: Promise<T>,
  entry: Waiting,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): Promise<void> => {
  try {
    resolve(await work);
  } catch (error) {
    reject(error);
  }
  entry.give = undefined;
};

/** Everyone has the same time, so one timer for the oldest is enough: a timer for each costs more. */
export const createDeadline = (ms: number): Deadline => {
  /** In order of time; `give` is gone where there was an answer. */
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;
  const check = (): void => {
    const now = performance.now();
    for (const entry of waiting) {
      if (entry.until > now) break;
      entry.give?.();
      entry.give = undefined;
    }
    waiting = waiting.filter(({ give }) => give !== undefined);
    timer = undefined;
    watch();
  };
  const watch = (): void => {
    const [oldest] = waiting;
    if (oldest)
      timer ??= setTimeout(
        check,
        Math.min(tidyMs, Math.max(1, Math.ceil(oldest.until - performance.now()))),
      ).unref();
  };
  return (work) =>
    new Promise((resolve, reject) => {
      const entry: Waiting = {
        until: performance.now() + ms,
        give: () => reject(late(ms)),
      };
      waiting.push(entry);
      watch();
      void settle(work, entry, resolve, reject);
    });
};
