/** Shedding with a clock of its own: a server of a known speed, under any load. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Admission, createAdmission } from "./admission.ts";

type Run = { waits: number[]; refused: number; peak: number };

/** Answers in order, one every `serviceMs`; `arrivals` are instants in order. */
const serve = (
  { admission, tick }: { admission: Admission; tick: (to: number) => void },
  arrivals: readonly number[],
  serviceMs: number,
): Run => {
  const open: number[] = [];
  const run: Run = { waits: [], refused: 0, peak: 0 };
  let free = 0;
  const answerUntil = (at: number): void => {
    while (open.length > 0) {
      const done = Math.max(free, open[0]!) + serviceMs;
      if (done > at) return;
      const since = open.shift()!;
      free = done;
      tick(done);
      run.waits.push(done - since);
      admission.leave(done - since);
    }
  };
  for (const at of arrivals) {
    answerUntil(at);
    tick(at);
    if (admission.enter()) open.push(at);
    else run.refused++;
    run.peak = Math.max(run.peak, open.length);
  }
  answerUntil(Infinity);
  return run;
};

const stage = (limits: { requestsMax: number; shedWaitMs: number }): Parameters<typeof serve>[0] => {
  let now = 0;
  return { admission: createAdmission(limits, () => now), tick: (to) => (now = to) };
};

const evenly = (count: number, everyMs: number, from = 0): number[] =>
  Array.from({ length: count }, (_, n) => from + n * everyMs);

const limits = { requestsMax: 2000, shedWaitMs: 10 };
const p99 = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)]!;

test("what the server can answer is never refused", () => {
  const { refused } = serve(stage(limits), evenly(100_000, 0.11), 0.1);
  expect(refused).toBe(0);
});

test("at five times what it can answer, the answered wait little and the others are refused", () => {
  const run = serve(stage(limits), evenly(500_000, 0.02), 0.1);
  expect(run.refused).toBeGreaterThan(350_000);
  // Once the bound has been found; the time before is that of a burst.
  expect(p99(run.waits.slice(5000))).toBeLessThan(25);
  expect(run.peak).toBeLessThanOrEqual(limits.requestsMax);
});

test("a burst of as many as may be open passes whole", () => {
  const run = serve(stage(limits), evenly(2000, 0), 0.1);
  expect(run.refused).toBe(0);
});

test("after an overload, as many as before are taken in at once", () => {
  const over = stage(limits);
  serve(over, evenly(200_000, 0.02), 0.1);
  expect(over.admission.bound()).toBeLessThan(500);
  serve(over, evenly(40_000, 0.2, 50_000), 0.1);
  expect(over.admission.bound()).toBe(2000);
});

test("a slow disk alone sheds nothing: what counts is a queue", () => {
  // Each takes 50 ms, but all at the same time.
  let now = 0;
  const admission = createAdmission(limits, () => now);
  const open: number[] = [];
  let refused = 0;
  for (let step = 0; step < 20_000; step++) {
    now = step;
    while (open.length > 0 && open[0]! + 50 <= now) admission.leave(now - open.shift()!);
    for (let n = 0; n < 10; n++) {
      if (admission.enter()) open.push(now);
      else refused++;
    }
  }
  expect(refused).toBe(0);
});

test("whatever comes, no more than the bound are open, and all who entered are counted out", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(30), { maxLength: 400 }),
      fc.integer({ min: 1, max: 50 }),
      (gaps, requestsMax) => {
        let at = 0;
        const over = stage({ requestsMax, shedWaitMs: 1 });
        const run = serve(
          over,
          gaps.map((gap) => (at += gap / 10)),
          1,
        );
        expect(run.peak).toBeLessThanOrEqual(requestsMax);
        expect(over.admission.open()).toBe(0);
        expect(run.waits.length + run.refused).toBe(gaps.length);
      },
    ),
  );
});
