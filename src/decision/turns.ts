/** A few at a time, in the order of arrival: what takes long must not crowd out what doesn't. */
import { Problem } from "../kit/problem.ts";

export type Turns = {
  /** Runs `work` when its turn comes. @throws Problem `overloaded` where too many wait already */
  take: <T>(work: () => Promise<T>) => Promise<T>;
};

export const createTurns = (runningMax: number, waitingMax: number): Turns => {
  const waiting: (() => void)[] = [];
  let running = 0;
  const begin = async (): Promise<void> => {
    if (running < runningMax) {
      running++;
      return;
    }
    if (waiting.length >= waitingMax) throw new Problem("overloaded", "too many searches are waiting");
    // Whoever ends hands its place over, so the count stays.
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const end = (): void => {
    const next = waiting.shift();
    if (next) next();
    else running--;
  };
  return {
    take: async (work) => {
      await begin();
      try {
        return await work();
      } finally {
        end();
      }
    },
  };
};
