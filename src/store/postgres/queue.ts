/** Acts that arrive while a commit is under way are the next commit. */
import type { Budget } from "../../budget/budget.ts";
import type { HoldCommand } from "../../budget/store.ts";
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

type Waiting = {
  command: CommonCommand;
  /** What it will look at, as far as it was looked up. */
  wants: readonly Want[];
  resolve: (done: Done) => void;
  reject: (error: unknown) => void;
};

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

/** What breaks here breaks in its own act as well, which denies it and no other. */
const foreseenIn = (body: string, read: Read): Want[] => {
  try {
    return foreseen(read(body));
  } catch {
    return [];
  }
};

/** What acts will look at, as far as it is foreseen. */
const wantsOf = (group: readonly Waiting[], read: Read): Want[] => {
  const wants = new Map<string, Want>();
  const note = (want: Want): void => void wants.set(wantKey(want), want);
  for (const want of foreseenOfAll(latestOf(group.map(({ command }) => command)))) note(want);
  for (const { command, wants: known } of group) {
    for (const want of known) note(want);
    if (command.kind === "decide")
      for (const body of command.act.facts) for (const want of foreseenIn(body, read)) note(want);
  }
  return [...wants.values()];
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

/** Answers a group by what its commit gives; `commit` may fill it. */
const settler =
  (inTurn: Commits["inTurn"], foreseenOf: (group: readonly Waiting[]) => Foreseen<Done[]>) =>
  async (group: Waiting[], commit: () => Promise<Done[]>): Promise<void> => {
    const settle = settler(inTurn, foreseenOf);
    try {
      const done = await commit();
      for (const [position, { resolve }] of group.entries()) resolve(done[position]!);
    } catch (error) {
      if (group.length > 1 && isRefusal(error))
        for (const one of group) await settle([one], () => inTurn(() => foreseenOf([one])));
      else for (const { reject } of group) reject(error);
    }
  };

/** What is asked all the time, and foreseen. */
const isUsual = ({ kind }: CommonCommand): boolean => kind === "decide" || kind === "hold";

/** `lookUp` tells what an act on a hold will look at. */
export const createQueue = (
  { write, inTurn }: Pick<Commits, "write" | "inTurn">,
  bound: Bound,
  book: () => ReadonlyMap<string, Budget>,
  lookUp: (command: HoldCommand) => Promise<readonly Want[]>,
): Queue => {
  const foreseenOf = (group: readonly Waiting[]): Foreseen<Done[]> => {
    const read = remembered();
    const commands = group.map(({ command }) => command);
    return { work: all(bound, book(), commands, read), wants: wantsOf(group, read) };
  };
  const settle = settler(inTurn, foreseenOf);
  const queue: Waiting[] = [];
  /** What is usual is taken when it is its turn, so that as many as may be share it. */
  const doUsual = (): Promise<void> => {
    const group: Waiting[] = [];
    const take = (): void => {
      const other = queue.findIndex(({ command }) => !isUsual(command));
      group.push(...queue.splice(0, Math.min(other < 0 ? groupMax : other, groupMax)));
    };
    return settle(group, async () => {
      try {
        return await inTurn(() => {
          take();
          return foreseenOf(group);
        });
      } finally {
        // Whoever waited for a turn that never came is told so.
        if (group.length === 0) take();
      }
    });
  };
  const doWaiting = (): Promise<void> => {
    const group = queue.splice(0, groupMax);
    return settle(group, () => {
      const { work, wants } = foreseenOf(group);
      return write(work, wants);
    });
  };
  let busy: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    while (queue.length > 0) await (isUsual(queue[0]!.command) ? doUsual() : doWaiting());
    busy = undefined;
  };
  const lookups = new Set<Promise<void>>();
  return {
    perform: (command) =>
      new Promise((resolve, reject) => {
        const wait = (wants: readonly Want[]): void => {
          queue.push({ command, wants, resolve, reject });
          busy ??= drain();
        };
        if (command.kind !== "hold") return wait([]);
        // What fails here fails again in its turn, and says why.
        const looking = lookUp(command.command)
          .catch(() => [])
          .then(wait)
          .finally(() => lookups.delete(looking));
        lookups.add(looking);
      }),
    settled: async () => {
      await Promise.all(lookups);
      await busy;
    },
  };
};
