/**
 * The ledger from the main thread: acts queue up while the writer commits and go to it together. Nothing waits for a
 * timer: a lone act leaves at once, and what arrives during a commit is the next one.
 */
import type { Decided } from "../../decision/question.ts";
import type { Act, DecisionStore } from "../../decision/store.ts";
import type { CallerStore } from "../../identity/store.ts";
import { Problem } from "../../kit/problem.ts";
import type { Calls } from "../../kit/thread.ts";
import type { EntryFilter, LedgerStore } from "../../ledger/store.ts";
import type { PolicySetStore } from "../../policy/store.ts";
import type { Caller } from "../../identity/caller.ts";
import type { Ledger } from "./ledger.ts";

/** What the writer's thread answers; the counterpart of `connectLedger`. */
export const ledgerHandlers = (ledger: Ledger): Record<string, (value: never) => unknown> => ({
  commit: (acts: Act[]) => ledger.commit(acts),
  entries: (filter: EntryFilter) => ledger.entries(filter),
  writable: () => ledger.writable(),
  keepPolicySet: (set: { digest: string; body: string }) => ledger.keepPolicySet(set),
  addCaller: (caller: Caller) => ledger.addCaller(caller),
  callers: () => ledger.callers(),
  revokeCaller: (name: string) => ledger.revokeCaller(name),
  bound: (pagesMax: number) => ledger.bound(pagesMax),
  close: () => ledger.close(),
});

export type ThreadedLedger = DecisionStore &
  LedgerStore &
  CallerStore &
  PolicySetStore & {
    /** Commits what is queued and closes the file. */
    close: () => Promise<void>;
  };

type Waiting = { act: Act; resolve: (decided: Decided[]) => void; reject: (error: unknown) => void };

/** While one batch is being synced, the next may already be on its way. */
const flightsMax = 2;

/** One commit's worth; more would hold up those that wait behind it. */
const batchQuestionsMax = 512;

/** Takes acts from the front of the queue, at least one, up to a commit's worth of questions. */
const takeBatch = (queue: Waiting[]): Waiting[] => {
  let questions = 0;
  let taken = 0;
  while (taken < queue.length && (taken === 0 || questions < batchQuestionsMax))
    questions += queue[taken++]!.act.facts.length;
  return queue.splice(0, taken);
};

/** Connects to a writer's thread. `queueActsMax` acts may wait; beyond it questions are answered `overloaded`. */
export const connectLedger = (calls: Calls, { queueActsMax }: { queueActsMax: number }): ThreadedLedger => {
  const queue: Waiting[] = [];
  const state = { flights: 0 };
  const send = async (batch: Waiting[]): Promise<void> => {
    state.flights++;
    try {
      const decided = await calls.call<Decided[][]>(
        "commit",
        batch.map(({ act }) => act),
      );
      for (const [position, { resolve }] of batch.entries()) resolve(decided[position]!);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      state.flights--;
      flush();
    }
  };
  const flush = (): void => {
    while (queue.length > 0 && state.flights < flightsMax) void send(takeBatch(queue));
  };
  return {
    decide: (act) =>
      new Promise((resolve, reject) => {
        if (queue.length >= queueActsMax) {
          reject(new Problem("overloaded", "too many questions are waiting for the ledger"));
          return;
        }
        queue.push({ act, resolve, reject });
        flush();
      }),
    entries: (filter) => calls.call("entries", filter),
    writable: () => calls.call("writable", undefined),
    keepPolicySet: (set) => calls.call("keepPolicySet", set),
    addCaller: (caller) => calls.call("addCaller", caller),
    callers: () => calls.call("callers", undefined),
    revokeCaller: (name) => calls.call("revokeCaller", name),
    close: () => calls.call("close", undefined),
  };
};
