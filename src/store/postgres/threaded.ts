/** What the thread that talks to the database answers. */
import { Problem } from "../../kit/problem.ts";
import type { Done } from "../acts/perform.ts";
import { type Command, type Committed, handlersOf, sizeOf, type Stopwatch } from "../acts/threaded.ts";
import type { Ledger } from "./ledger.ts";

/** An act that is refused is an answer; what the database says fails the commit. */
const orRefused = async (act: Promise<unknown>): Promise<Done> => {
  try {
    return { value: await act };
  } catch (error) {
    if (!(error instanceof Problem) || error.code === "ledger_unavailable") throw error;
    const { code, detail, field } = error;
    return { problem: { code, detail, ...(field === undefined ? {} : { field }) } };
  }
};

type Doers = Pick<Ledger, "perform" | "erase" | "prune">;

const doing =
  ({ perform, erase, prune }: Doers) =>
  async (command: Command): Promise<Done> => {
    if (command.kind === "erase") return orRefused(erase(command.command));
    return command.kind === "prune" ? orRefused(prune(command.command)) : perform(command);
  };

const timedCommit =
  (ledger: Doers, stopwatch: Stopwatch) =>
  async (commands: Command[]): Promise<Committed> => {
    const from = performance.now();
    const done = await Promise.all(commands.map(doing(ledger)));
    const questions = commands.reduce((sum, command) => sum + sizeOf(command), 0);
    // Where not all that they touch was foreseen they are judged more than once: what counts is the last time.
    const judgedMs = stopwatch.take().slice(-questions);
    const commitMs = performance.now() - from;
    return { done, times: { judgedMs, commitMs } };
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
  closing: () => ledger.closing(),
  ...ledger.outbox,
  epochs: () => ledger.epochs(),
  lead: () => ledger.lead(),
  bound: () => {
    throw new Problem("invalid_request", "the size of a ledger in PostgreSQL is the database's own affair");
  },
});
