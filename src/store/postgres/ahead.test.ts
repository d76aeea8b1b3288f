/** What the database's clock says is known as well as the quickest answer tells, and follows when that clock is set. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Micros, steadyMicros } from "../../kit/clock.ts";
import { createAhead } from "./ahead.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["hrtime"] }));
afterEach(() => void vi.useRealTimers());

const second: Micros = 1_000_000;

/** A database whose clock is ahead by as much as it is told, and which takes its time on both ways. */
const database = () => {
  const state = { ahead: 1000 * second, thereMs: 1, backMs: 1 };
  const ahead = createAhead(async () => {
    vi.advanceTimersByTime(state.thereMs);
    const told = steadyMicros() + state.ahead;
    vi.advanceTimersByTime(state.backMs);
    return told;
  });
  return { state, ahead };
};

test("the quickest answer counts, not the latest", async () => {
  const { state, ahead } = database();
  await ahead.look();
  expect(ahead.now()).toBe(state.ahead);
  Object.assign(state, { thereMs: 1, backMs: 401 });
  await ahead.look();
  expect(ahead.now()).toBe(state.ahead);
});

test("a clock that was set, either way, is followed with the next answer, also a slow one", async () => {
  const { state, ahead } = database();
  await ahead.look();
  for (const set of [3600 * second, -3600 * second]) {
    Object.assign(state, { ahead: state.ahead + set, thereMs: 1, backMs: 41 });
    await ahead.look();
    expect(Math.abs(ahead.now() - state.ahead)).toBeLessThanOrEqual(20_000);
    Object.assign(state, { backMs: 1 });
    await ahead.look();
    expect(ahead.now()).toBe(state.ahead);
  }
});

test("nothing is dated before it is known", () => {
  expect(() => database().ahead.now()).toThrow("before it was known");
});
