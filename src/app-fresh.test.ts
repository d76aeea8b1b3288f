/** What is held in memory follows what others change, and nothing is decided where that can't be heard of. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createFreshness } from "./app-fresh.ts";
import type { DecisionStore, Epochs, SharedPart, TrialStore } from "./decision/store.ts";
import { steadyMicros } from "./kit/clock.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date", "hrtime"] }));
afterEach(() => void vi.useRealTimers());

const none: Epochs = { agents: 0, callers: 0, entities: 0, policies: 0 };

/** Freshness over a database that counts, and what was read again. */
const watching = (fails: () => boolean = () => false) => {
  const counted = { now: none };
  const read: SharedPart[] = [];
  const kept: Epochs[] = [];
  const reading = (part: SharedPart) => async (): Promise<void> => {
    if (fails()) throw new Error("the database is away");
    read.push(part);
  };
  const freshness = createFreshness({
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is only ever asked for epochs
    calls: { call: async <T>() => counted.now as T },
    worlds: { keepEpochs: (epochs) => void kept.push(epochs) },
    ledger: { standing: async () => ({ pinned: false }) },
    staleMsMax: 3000,
    log: { error: () => undefined },
  });
  freshness.setAhead(Date.now() * 1000 - steadyMicros());
  const shared = {
    agents: { refresh: reading("agents") },
    callers: { refresh: reading("callers") },
    entities: { refresh: reading("entities") },
    loader: { adopt: reading("policies") },
  };
  const hear = (epochs: Epochs): void => {
    counted.now = epochs;
    freshness.heard(epochs, steadyMicros(), Date.now() * 1000 - steadyMicros());
  };
  return { freshness, shared, counted, read, kept, hear };
};

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test("of what is held in memory that is read again which was changed, and then its count is known", async () => {
  const { freshness, shared, read, kept, hear } = watching();
  freshness.start(shared, none);
  hear({ ...none, agents: 2, entities: 1 });
  await settled();
  expect(read).toEqual(["agents", "entities"]);
  expect(kept.at(-1)).toEqual({ ...none, agents: 2, entities: 1 });
  hear({ ...none, agents: 2, entities: 1 });
  await settled();
  expect(read).toHaveLength(2);
});

test("who asks for what is new while it is being read gets what was read afterwards", async () => {
  const { freshness, shared, counted, read } = watching();
  freshness.start(shared, none);
  counted.now = { ...none, agents: 1 };
  const first = freshness.refresh();
  counted.now = { ...none, agents: 1, policies: 1 };
  await Promise.all([first, freshness.refresh(), freshness.refresh()]);
  expect(read).toEqual(["agents", "policies"]);
});

const asked = { at: 0, facts: [] };
const deciding: DecisionStore & Pick<TrialStore, "tryOut"> = {
  decide: async () => [],
  tryOut: async () => [],
};

test("who hears nothing says so, and after a while decides nothing, until it hears again", async () => {
  const { freshness, shared, hear } = watching();
  freshness.start(shared, none);
  const { decide, tryOut } = freshness.guarded(deciding);
  expect(freshness.check().status).toBe("ok");
  vi.advanceTimersByTime(2500);
  expect(freshness.check().status).toBe("stale");
  expect(await decide(asked)).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(freshness.check().status).toBe("failed");
  await expect(decide(asked)).rejects.toMatchObject({ code: "ledger_unavailable" });
  await expect(tryOut([])).rejects.toMatchObject({ code: "ledger_unavailable" });
  hear(none);
  expect(await decide(asked)).toEqual([]);
});

test("what was heard of and can't be read counts as not heard", async () => {
  let away = true;
  const { freshness, shared, hear } = watching(() => away);
  freshness.start(shared, none);
  const changed = { ...none, callers: 1 };
  for (let second = 0; second < 5; second++) {
    hear(changed);
    await settled();
    vi.advanceTimersByTime(1000);
  }
  expect(freshness.check().status).toBe("failed");
  away = false;
  hear(changed);
  await settled();
  hear(changed);
  expect(freshness.check().status).toBe("ok");
});

test("a machine whose clock is set, back or ahead, neither hides silence nor makes any", () => {
  const { freshness, hear } = watching();
  hear(none);
  vi.setSystemTime(Date.now() + 86_400_000);
  expect(freshness.check().error).toContain("ahead of the database's");
  vi.setSystemTime(Date.now() - 2 * 86_400_000);
  vi.advanceTimersByTime(4000);
  expect(freshness.check()).toMatchObject({ status: "failed" });
});

test("a machine whose clock is off by more than a second says so, and by how much", () => {
  const { freshness } = watching();
  const right = (Date.now() + 4200) * 1000;
  freshness.heard(none, steadyMicros(), right - steadyMicros());
  expect(freshness.now()).toBe(right);
  expect(freshness.check()).toMatchObject({
    status: "stale",
    error: expect.stringContaining("4 s behind the database's") as string,
  });
});
