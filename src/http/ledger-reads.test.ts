/** Reads of the ledger as they are told in it. */
import { expect, test } from "vitest";
import type { NoteCommand } from "../ledger/store.ts";
import { Problem } from "../kit/problem.ts";
import { createReads } from "./ledger-reads.ts";

const minute = 60_000_000;

/** A ledger that keeps notes when it is let, and a clock that is set. */
const setUp = () => {
  const state = {
    at: 1_000_000_000_000_000,
    full: false,
    notes: [] as NoteCommand[],
    held: [] as (() => void)[],
  };
  const hold = { on: false };
  const note = async (command: NoteCommand): Promise<number> => {
    if (hold.on) await new Promise<void>((resolve) => state.held.push(resolve));
    if (state.full) throw new Problem("ledger_unavailable", "the disk is full");
    return state.notes.push(command);
  };
  return { state, hold, reads: createReads({ note }, () => state.at) };
};

const told = ({ notes }: { notes: NoteCommand[] }): unknown[] =>
  notes.map(({ caller, facts, detail }) => [caller, facts["read"], facts["reads"], detail["asked"]]);

test("the first read is told before it is answered, those that follow within ten minutes as one, by caller and kind", async () => {
  const { state, reads } = setUp();
  await reads.note("auditor", "entries", { user: "ann" });
  expect(told(state)).toEqual([["auditor", "entries", 1, [{ what: { user: "ann" }, times: 1 }]]]);
  for (let n = 0; n < 5; n++) await reads.note("auditor", "entries", { user: n < 3 ? "ann" : "ben" });
  await reads.note("siem", "entries");
  await reads.note("auditor", "proof");
  expect(state.notes).toHaveLength(3);
  state.at += 9 * minute;
  await reads.tell("due");
  expect(state.notes).toHaveLength(3);
  state.at += minute;
  await reads.tell("due");
  expect(told(state).slice(3)).toEqual([
    [
      "auditor",
      "entries",
      5,
      [
        { what: { user: "ann" }, times: 3 },
        { what: { user: "ben" }, times: 2 },
      ],
    ],
  ]);
  // Who came back after a quiet while is told at once again; who polls on is not.
  await reads.note("siem", "entries");
  await reads.note("auditor", "entries");
  expect(
    told(state)
      .slice(4)
      .map((entry) => (entry as unknown[])[0]),
  ).toEqual(["siem"]);
});

test("a read that can't be told isn't answered, nor any that came with it", async () => {
  const { state, hold, reads } = setUp();
  hold.on = true;
  const asked = [1, 2].map(() => reads.note("auditor", "entry", { index: 7 }));
  state.full = true;
  await new Promise(setImmediate);
  state.held.shift()!();
  for (const result of await Promise.allSettled(asked)) expect(result.status).toBe("rejected");
  hold.on = false;
  state.full = false;
  await reads.note("auditor", "entry", { index: 7 });
  expect(state.notes).toHaveLength(1);
});

test("what was counted is told at the end, and kept where it can't be told yet", async () => {
  const { state, reads } = setUp();
  for (let n = 0; n < 4; n++) await reads.note("auditor", "log");
  state.full = true;
  await expect(reads.tell("all")).rejects.toThrow("the disk is full");
  await reads.note("auditor", "log");
  state.full = false;
  await reads.tell("all");
  expect(state.notes.map(({ facts }) => facts["reads"])).toEqual([1, 4]);
});

test("a detail has bounds: of what is beyond, the number is told", async () => {
  const { state, reads } = setUp();
  for (let n = 0; n < 301; n++) await reads.note("auditor", "entry", { index: n });
  await reads.tell("all");
  const { facts, detail } = state.notes[1]!;
  expect([facts["reads"], (detail["asked"] as object[]).length, detail["others"]]).toEqual([300, 100, 200]);
});
