/** Whatever is added, read, undone or kept, in whatever order: reads see all of it, and the file ends with what was kept. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Sqlite } from "./driver.ts";
import { createMoves } from "./periods.ts";

type Step =
  | { kind: "add"; row: number; used: number; held: number }
  | { kind: "read" }
  | { kind: "attempt"; steps: Step[]; undone: boolean };

const plainStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      row: fc.integer({ min: 1, max: 3 }),
      used: fc.integer({ min: -9, max: 9 }),
      held: fc.integer({ min: -9, max: 9 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "read" as const }) },
);

const { step } = fc.letrec<{ step: Step }>((tie) => ({
  step: fc.oneof(
    { maxDepth: 3 },
    plainStep,
    fc.record({
      kind: fc.constant("attempt" as const),
      steps: fc.array(tie("step"), { maxLength: 6 }),
      undone: fc.boolean(),
    }),
  ),
}));

class Undone extends Error {}

const openFile = () => {
  const db = new Sqlite(":memory:");
  db.exec("create table period (account, start, used, held, primary key (account, start)) without rowid");
  const moves = createMoves(db);
  const inFile = (): unknown => db.prepare("select account, used, held from period order by account").all();
  const attempt = db.transaction((act: () => void) => act());
  return { moves, inFile, attempt, close: () => db.close() };
};

type File = ReturnType<typeof openFile>;

type Sums = Map<number, { used: number; held: number }>;

const rowsOf = (sums: Sums): unknown =>
  [...sums].sort(([a], [b]) => a - b).map(([account, sum]) => ({ account, ...sum }));

/** Takes steps in the file as in the model; gives what the model has afterwards. */
const take = (file: File, sums: Sums, steps: readonly Step[]): Sums => {
  let model = sums;
  for (const one of steps) {
    if (one.kind === "add") {
      const { row, used, held } = one;
      const before = model.get(row) ?? { used: 0, held: 0 };
      model = new Map(model).set(row, { used: before.used + used, held: before.held + held });
      file.moves.add({ row, start: 0, used, held });
    } else if (one.kind === "read") {
      file.moves.write();
      expect(file.inFile()).toEqual(rowsOf(model));
    } else model = attempted(file, model, one);
  }
  return model;
};

const attempted = (file: File, sums: Sums, { steps, undone }: Extract<Step, { kind: "attempt" }>): Sums => {
  const mark = file.moves.mark();
  let after = sums;
  try {
    file.attempt(() => {
      after = take(file, sums, steps);
      if (undone) throw new Undone();
    });
    return after;
  } catch (error) {
    if (!(error instanceof Undone)) throw error;
    file.moves.back(mark);
    return sums;
  }
};

test("reads see all that was added, what is undone is gone, and what is kept is in the file in the end", () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 12 }), { maxLength: 4 }), (commits) => {
      const file = openFile();
      try {
        let model: Sums = new Map();
        for (const steps of commits) {
          file.attempt(() => {
            model = take(file, model, steps);
            file.moves.settle();
          });
          expect(file.inFile()).toEqual(rowsOf(model));
        }
      } finally {
        file.close();
      }
    }),
    { numRuns: 300 },
  );
});

test("a period that would hold more than is counted exactly is a fault, and nothing of it is written", () => {
  const file = openFile();
  for (const used of [Number.MAX_SAFE_INTEGER, 1]) file.moves.add({ row: 1, start: 0, used, held: 0 });
  file.moves.back({ items: 1, written: 0 });
  file.moves.settle();
  file.moves.add({ row: 1, start: 0, used: 1, held: 0 });
  expect(() => file.attempt(() => file.moves.settle())).toThrow(/exceeds what is counted/);
  expect(file.inFile()).toEqual([{ account: 1, used: Number.MAX_SAFE_INTEGER, held: 0 }]);
  file.close();
});
