/** What the thread that talks HTTP knows of the one that has the ledger. */
import { expect, test, vi } from "vitest";
import type { Calls } from "../../kit/thread.ts";
import { connectLedger } from "./threaded.ts";

/** A thread that answers nothing until it is told to. */
const silentThread = (): { calls: Calls; answer: () => void } => {
  const open: (() => void)[] = [];
  return {
    calls: {
      call: () =>
        new Promise((_resolve, reject) => {
          open.push(() => reject(new Error("over")));
        }),
    },
    answer: () => {
      for (const end of open.splice(0)) end();
    },
  };
};

test("how long a commit has been under way is known, but not of what takes as long as it takes", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const { calls, answer } = silentThread();
    const ledger = connectLedger(calls, { queueActsMax: 10, waitMsMax: 1000 });
    const subject = { type: "User", id: "ann" };
    const erasing = ledger.erase({ id: "e", at: 0, caller: "admin", subject, reason: "asked for" });
    vi.advanceTimersByTime(60_000);
    expect(ledger.underWayMs()).toBe(0);
    const deciding = ledger.decide({ at: 0, facts: ["{}"] });
    vi.advanceTimersByTime(900);
    expect(ledger.underWayMs()).toBe(900);
    answer();
    await Promise.allSettled([erasing, deciding]);
    expect(ledger.underWayMs()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
