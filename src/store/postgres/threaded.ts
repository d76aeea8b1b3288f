/** What the thread that talks to the database answers. */
import { Problem } from "../../kit/problem.ts";
import type { Done } from "../acts/perform.ts";
import { type Command, type Committed, handlersOf, sizeOf, type Stopwatch } from "../acts/threaded.ts";
import type { Ledger } from "./ledger.ts";

/** What only SQLite's ledger does. */
const notHere = (kind: "erase" | "prune"): Done => ({
  problem: {
    code: "conflict",
    detail: `a ledger in PostgreSQL can't ${kind} yet: nothing was changed`,
  },
});

const timedCommit =
  ({ perform }: Pick<Ledger, "perform">, stopwatch: Stopwatch) =>
  async (commands: Command[]): Promise<Committed> => {
    const from = performance.now();
    const done = await Promise.all(
      commands.map(async (command) =>
        command.kind === "erase" || command.kind === "prune" ? notHere(command.kind) : perform(command),
      ),
    );
    const questions = commands.reduce((sum, command) => sum + sizeOf(command), 0);
    // Questions are judged once to find out what they touch, and again where it counts.
    const judgedMs = stopwatch.take().slice(-questions);
    const commitMs = performance.now() - from;
    return { done, times: { judgedMs, commitMs, at: performance.timeOrigin + from } };
  };

/** The counterpart of `connectLedger`. */
export const ledgerHandlers = (
  ledger: Ledger,
  stopwatch: Stopwatch,
): Record<string, (value: never) => unknown> => ({
  commit: timedCommit(ledger, stopwatch),
  ...handlersOf(ledger),
  tile: ledger.tile,
  inclusion: ledger.inclusion,
  consistency: ({ from, to }: { from: number; to: number }) => ledger.consistency(from, to),
  // Nothing is pruned.
  closing: () => undefined,
  ...ledger.outbox,
  epochs: () => ledger.epochs(),
  lead: () => ledger.lead(),
  bound: () => {
    throw new Problem("invalid_request", "the size of a ledger in PostgreSQL is the database's own affair");
  },
});
