/** What is done inside a commit: each act in order, and an act that is refused, or breaks, is undone alone. */
import type { Database } from "better-sqlite3";
import type { Budget } from "../../budget/budget.ts";
import type { Decided } from "../../decision/question.ts";
import type { Act, Bound } from "../../decision/store.ts";
import type { Micros } from "../../kit/clock.ts";
import { Problem } from "../../kit/problem.ts";
import { createActs, type Done, performOne } from "../acts/perform.ts";
import type { Command } from "../acts/threaded.ts";
import { type Desk } from "./desk.ts";
import { createErase } from "./erase.ts";
import { createPrune } from "./prune.ts";

const instantOf = (command: Command): Micros =>
  command.kind === "decide" ? command.act.at : command.command.at;

/** What acts work with from one commit to the next. */
export type Room = { desk: Desk; book: ReadonlyMap<string, Budget> };

export type Perform = {
  /** Decides, and takes everything back. */
  undone: (room: Room, act: Act) => Decided[];
  all: (room: Room, commands: readonly Command[]) => Done[];
  lapse: (room: Room, at: Micros) => number;
};

/** Does something in a transaction that is taken back, with all that the desk remembers of it. */
const undone = <T>(db: Database, desk: Desk, act: () => T): T => {
  const place = desk.place();
  db.exec("begin immediate");
  try {
    return act();
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem("ledger_unavailable", "nothing can be tried: the ledger can't be written", { cause });
  } finally {
    if (db.inTransaction) db.exec("rollback");
    desk.back(place);
  }
};

/** Does acts inside a commit. `warn` hears of what broke: it was undone alone. */
export const createPerform = (db: Database, bound: Bound, warn: (warning: string) => void): Perform => {
  const { perform: common, holds } = createActs(bound, warn);
  const erase = createErase(db);
  const prune = createPrune(db);
  const perform = (room: Room, command: Command): unknown => {
    if (command.kind !== "erase" && command.kind !== "prune") return common(room, command);
    room.desk.write();
    return command.kind === "erase" ? erase(room.desk, command.command) : prune(room.desk, command.command);
  };
  return {
    undone: (room, act) =>
      undone(db, room.desk, () => {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a decision gives what was decided
        return common(room, { kind: "decide", act }) as Decided[];
      }),
    all: (room, commands) => {
      // What has lapsed by now stands in nobody's way.
      holds.lapse(room.desk, room.book, Math.max(0, ...commands.map(instantOf)));
      return commands.map((command) => performOne(room.desk, command, () => perform(room, command), warn));
    },
    lapse: ({ desk, book }, at) => holds.lapse(desk, book, at),
  };
};
