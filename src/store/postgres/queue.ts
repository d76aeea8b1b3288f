/** Acts that arrive while a commit is under way are the next commit. */
import type { Budget } from "../../budget/budget.ts";
import { readFacts } from "../../decision/facts-text.ts";
import type { Facts } from "../../decision/question.ts";
import type { Bound } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import type { Read } from "../acts/decide.ts";
import { type CommonCommand, createActs, type Done, performOne } from "../acts/perform.ts";
import { isStale } from "./epochs.ts";
import { type Commits, type Foreseen, isRefusal, type Work } from "./commit.ts";
import { foreseen, foreseenOfAll } from "./foreseen.ts";
import { type Want, wantKey } from "./working-set.ts";

export type Queue = {
  /** Does an act, with those that wait. @throws Problem `ledger_unavailable` */
  perform: (command: CommonCommand) => Promise<Done>;
  /** Resolves when nothing is under way. */
  settled: () => Promise<void>;
};

type Waiting = { command: CommonCommand; resolve: (done: Done) => void; reject: (error: unknown) => void };

/** Acts in one commit at most: what one question may have to wait for. */
const groupMax = 256;

/** The facts of texts, each read once, however often its act is done. */
const remembered = (): Read => {
  const known = new Map<string, Facts>();
  return (body) => {
    const facts = known.get(body) ?? readFacts(body);
    known.set(body, facts);
    return facts;
  };
};

const latestOf = (commands: readonly CommonCommand[]): Micros =>
  Math.max(0, ...commands.map((command) => (command.kind === "decide" ? command.act : command.command).at));

/** What acts will look at: most of it, where they all decide. */
const foreseenOf = (commands: readonly CommonCommand[], read: Read): Foreseen => {
  const wants = new Map<string, Want>();
  const note = (want: Want): void => void wants.set(wantKey(want), want);
  for (const want of foreseenOfAll(latestOf(commands))) note(want);
  for (const command of commands)
    if (command.kind === "decide")
      for (const body of command.act.facts) for (const want of foreseen(read(body))) note(want);
  return { wants: [...wants.values()], most: commands.every(({ kind }) => kind === "decide") };
};

const all =
  (
    bound: Bound,
    book: ReadonlyMap<string, Budget>,
    commands: readonly CommonCommand[],
    read: Read,
  ): Work<Done[]> =>
  (desk, warn) => {
    const acts = createActs(bound, warn, read);
    // What has lapsed by now stands in nobody's way.
    acts.holds.lapse(desk, book, latestOf(commands));
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
      const read = remembered();
      const commands = group.map(({ command }) => command);
      const done = await write(all(bound, book(), commands, read), foreseenOf(commands, read));
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
