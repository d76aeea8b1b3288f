/** Acts that arrive while a commit is under way are the next commit. */
import type { Budget } from "../../budget/budget.ts";
import type { Bound } from "../../decision/store.ts";
import { type CommonCommand, createActs, type Done, performOne } from "../acts/perform.ts";
import { isStale } from "./epochs.ts";
import { type Commits, isRefusal, type Work } from "./commit.ts";

export type Queue = {
  /** Does an act, with those that wait. @throws Problem `ledger_unavailable` */
  perform: (command: CommonCommand) => Promise<Done>;
  /** Resolves when nothing is under way. */
  settled: () => Promise<void>;
};

type Waiting = { command: CommonCommand; resolve: (done: Done) => void; reject: (error: unknown) => void };

/** Acts in one commit at most: what one question may have to wait for. */
const groupMax = 256;

const all =
  (bound: Bound, book: ReadonlyMap<string, Budget>, commands: readonly CommonCommand[]): Work<Done[]> =>
  (desk, warn) => {
    const acts = createActs(bound, warn);
    const instants = commands.map((command) =>
      command.kind === "decide" ? command.act.at : command.command.at,
    );
    // What has lapsed by now stands in nobody's way.
    acts.holds.lapse(desk, book, Math.max(0, ...instants));
    return commands.map((command) => {
      if (command.kind === "decide" && isStale(command.act.known, desk.epochs())) return { value: "stale" };
      return performOne(desk, command, () => acts.perform({ desk, book }, command), warn);
    });
  };

export const createQueue = (
  { write }: Pick<Commits, "write">,
  bound: Bound,
  book: () => ReadonlyMap<string, Budget>,
): Queue => {
  const settle = async (group: readonly Waiting[]): Promise<void> => {
    try {
      const done = await write(
        all(
          bound,
          book(),
          group.map(({ command }) => command),
        ),
      );
      for (const [position, { resolve }] of group.entries()) resolve(done[position]!);
    } catch (error) {
      if (group.length > 1 && isRefusal(error)) for (const one of group) await settle([one]);
      else for (const { reject } of group) reject(error);
    }
  };
  const queue: Waiting[] = [];
  let busy: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    while (queue.length > 0) await settle(queue.splice(0, groupMax));
    busy = undefined;
  };
  return {
    perform: (command) =>
      new Promise((resolve, reject) => {
        queue.push({ command, resolve, reject });
        busy ??= drain();
      }),
    settled: async () => busy,
  };
};
