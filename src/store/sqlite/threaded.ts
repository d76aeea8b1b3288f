/** What the thread that has the ledger's file answers. */
import type { TileName } from "../../ledger/tile.ts";
import { type Command, type Committed, handlersOf, type Stopwatch } from "../acts/threaded.ts";
import type { Ledger } from "./ledger.ts";
import { outboxHandlers } from "./outbox.ts";

const timedCommit =
  (ledger: Ledger, stopwatch: Stopwatch) =>
  (commands: Command[]): Committed => {
    const from = performance.now();
    stopwatch.take();
    const done = ledger.commit(commands);
    const judgedMs = stopwatch.take();
    const commitMs = performance.now() - from;
    return { done, times: { judgedMs, commitMs } };
  };

/** What the writer's thread answers; the counterpart of `connectLedger`. */
export const ledgerHandlers = (
  ledger: Ledger,
  stopwatch: Stopwatch,
): Record<string, (value: never) => unknown> => ({
  commit: timedCommit(ledger, stopwatch),
  ...handlersOf(ledger),
  tile: (name: TileName) => ledger.tree.tile(name),
  inclusion: (index: number) => ledger.tree.inclusion(index),
  consistency: ({ from, to }: { from: number; to: number }) => ledger.tree.consistency(from, to),
  closing: () => ledger.closing(),
  ...outboxHandlers(ledger.outbox),
  bound: (pagesMax: number) => ledger.bound(pagesMax),
  close: () => ledger.close(),
});
