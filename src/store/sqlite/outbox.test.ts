/** The outbox's rows: in with the act or not at all, once, found when due, and listed whatever became of them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alertOf, openOutbox, type Outbox } from "../../alert/receiver.test-parts.ts";
import type { AlertFilter } from "../../alert/store.ts";

const at = alertOf("x").at;
let outbox: Outbox;
beforeEach(() => {
  outbox = openOutbox();
});
afterEach(() => outbox.close());

const idsOf = async (filter: Partial<AlertFilter> = {}): Promise<string[]> =>
  (await outbox.store.alerts({ limit: 100, ...filter })).alerts.map(({ id }) => id);
const due = async (sink: string, now: number, limit = 100): Promise<string[]> =>
  (await outbox.store.dueAlerts({ sink, now, limit })).map(({ id }) => id);

describe("putting in", () => {
  test("an alert whose transaction is rolled back was never there", async () => {
    outbox.exec("begin immediate");
    outbox.rows.insertAlert(alertOf("undone"), ["a"]);
    outbox.exec("rollback");
    expect(await idsOf()).toEqual([]);
    expect(await due("a", at)).toEqual([]);
  });

  test("F17: the same id again changes nothing, but a sink that hasn't heard of it gets a row", async () => {
    expect(outbox.put(alertOf("one"), ["a"])).toBe(true);
    await outbox.store.alertDelivered({ id: "one", sink: "a", at });
    expect(outbox.put(alertOf("one", { title: "other", at: at + 1 }), ["a", "b"])).toBe(false);
    expect(await due("a", at + 10)).toEqual([]);
    expect(await due("b", at)).toEqual(["one"]);
    expect((await outbox.store.alerts({ limit: 1 })).alerts[0]!.alert).toEqual(alertOf("one"));
  });

  test("an alert for no sink is listed, and delivered to none", async () => {
    outbox.put(alertOf("quiet"), []);
    expect(await idsOf()).toEqual(["quiet"]);
    expect(await outbox.store.pendingSinks()).toEqual([]);
  });
});

describe("what is due", () => {
  test("is the sink's own, the longest due first, up to the limit, and never before its time", async () => {
    outbox.put(alertOf("later", { at: at + 2 }), ["a"]);
    outbox.put(alertOf("soon", { at: at + 1 }), ["a"]);
    outbox.put(alertOf("other", { at }), ["b"]);
    expect(await due("a", at)).toEqual([]);
    expect(await due("a", at + 2)).toEqual(["soon", "later"]);
    expect(await due("a", at + 2, 1)).toEqual(["soon"]);
    expect(await outbox.store.pendingSinks()).toEqual(["a", "b"]);
  });

  test("is no row that was delivered or given up, and a failed one only when its time comes again", async () => {
    for (const id of ["delivered", "failed", "dead"]) outbox.put(alertOf(id), ["a"]);
    const { store } = outbox;
    await store.alertDelivered({ id: "delivered", sink: "a", at });
    await store.alertFailed({ id: "failed", sink: "a", attempts: 1, nextAt: at + 5, error: "answered 500" });
    await store.alertDead({ id: "dead", sink: "a", attempts: 10, at, error: "answered 500" });
    expect(await due("a", at + 4)).toEqual([]);
    expect(await store.dueAlerts({ sink: "a", now: at + 5, limit: 9 })).toMatchObject([
      { id: "failed", attempts: 1 },
    ]);
    expect(await store.reviveAlerts({ sink: "b", at })).toBe(0);
    expect(await store.reviveAlerts({ sink: "a", at: at + 4 })).toBe(1);
    expect(await due("a", at + 4)).toEqual(["dead"]);
  });

  test("isn't changed by a mark that comes after the row was delivered", async () => {
    outbox.put(alertOf("one"), ["a"]);
    const { store } = outbox;
    await store.alertDelivered({ id: "one", sink: "a", at });
    await store.alertFailed({ id: "one", sink: "a", attempts: 1, nextAt: at, error: "late" });
    await store.alertDead({ id: "one", sink: "a", attempts: 1, at, error: "late" });
    expect((await store.alerts({ limit: 1 })).alerts[0]!.deliveries).toEqual([
      { sink: "a", state: "delivered", attempts: 0, doneAt: at },
    ]);
  });
});

describe("listing", () => {
  beforeEach(async () => {
    outbox.put(alertOf("one", { at }), ["a", "b"]);
    outbox.put(alertOf("two", { at: at + 1, type: "runaway" }), ["b"]);
    outbox.put(alertOf("three", { at: at + 2 }), ["a"]);
    await outbox.store.alertDead({ id: "one", sink: "a", attempts: 1, at, error: "gone" });
    await outbox.store.alertDelivered({ id: "two", sink: "b", at });
  });

  test.each<[Partial<AlertFilter>, string[]]>([
    [{}, ["three", "two", "one"]],
    [{ type: "runaway" }, ["two"]],
    [{ sink: "b" }, ["two", "one"]],
    [{ state: "pending" }, ["three", "one"]],
    [{ state: "dead" }, ["one"]],
    [{ sink: "b", state: "dead" }, []],
    [{ sink: "b", state: "pending" }, ["one"]],
    [{ from: at + 1 }, ["three", "two"]],
    [{ to: at + 1 }, ["one"]],
    [{ from: at + 1, to: at + 2, sink: "b" }, ["two"]],
  ])("%o finds %o", async (filter, ids) => {
    expect(await idsOf(filter)).toEqual(ids);
  });

  test("comes in pages, each alert on one of them", async () => {
    const first = await outbox.store.alerts({ limit: 2 });
    expect(first.alerts.map(({ id }) => id)).toEqual(["three", "two"]);
    const second = await outbox.store.alerts({ limit: 2, cursor: first.next! });
    expect(second.alerts.map(({ id }) => id)).toEqual(["one"]);
    expect(second).not.toHaveProperty("next");
  });

  test("shows a row that can't be read, without its alert", async () => {
    outbox.exec("update alert set body = 'broken' where id = 'three'");
    const { alerts } = await outbox.store.alerts({ limit: 1 });
    expect(alerts).toEqual([
      {
        id: "three",
        type: "budget.threshold",
        at: at + 2,
        severity: "warning",
        deliveries: [{ sink: "a", state: "pending", attempts: 0, nextAt: at + 2 }],
      },
    ]);
  });
});
