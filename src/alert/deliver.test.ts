/** Delivery against real receivers and a real file: at least once, each on its own, and given up in the end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readSecret, verify } from "./sign.ts";
import { delaysMicros } from "./backoff.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "./deliver.ts";
import type { DeliveryEvent } from "./lane.ts";
import {
  alertOf,
  openOutbox,
  type Outbox,
  type Receiver,
  secretText,
  sinkAt,
  startReceiver,
} from "./receiver.test-parts.ts";
import { sendTest } from "./send.ts";
import type { Sink } from "./sink.ts";
import type { AlertView } from "./store.ts";

const start = 1_764_000_000_000_000;
let now: number;
let outbox: Outbox;
let undo: (() => unknown)[];
let events: DeliveryEvent[];
beforeEach(() => {
  now = start;
  events = [];
  outbox = openOutbox();
  undo = [() => outbox.close()];
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

const receiverOf = async (answer?: RequestListener): Promise<Receiver> => {
  const receiver = await startReceiver(answer);
  undo.push(receiver.close);
  return receiver;
};

/** Answers with these statuses in turn, then with the last. */
const answering =
  (...answers: [status: number, headers?: Record<string, string>][]): RequestListener =>
  (_request, response) => {
    const [status, headers] = answers.length > 1 ? answers.shift()! : answers[0]!;
    response.writeHead(status, headers).end("so it is");
  };

const deliveryTo = (sinks: readonly Sink[], rest: Partial<DeliveryOptions> = {}): Delivery => {
  const delivery = createDelivery({
    store: outbox.store,
    sinks,
    clock: () => now,
    log: (event) => void events.push(event),
    random: () => 0,
    ...rest,
  });
  undo.push(() => delivery.stop(0));
  return delivery;
};

const deliveryOf = async (id: string, sink: string): Promise<AlertView["deliveries"][number]> => {
  const { alerts } = await outbox.store.alerts({ limit: 1000 });
  return alerts.find((alert) => alert.id === id)!.deliveries.find((delivery) => delivery.sink === sink)!;
};
const idsOf = ({ received }: Receiver): string[] =>
  received.map(({ headers }) => String(headers["webhook-id"]));

describe("delivering", () => {
  test("F17: one crossing that a hundred requests notice is one row and one message for each sink", async () => {
    const [a, b] = await Promise.all([receiverOf(), receiverOf()]);
    const delivery = deliveryTo([sinkAt("a", a.url), sinkAt("b", b.url)]);
    const news = Array.from({ length: 100 }, (_, n) =>
      outbox.put(alertOf("once", { title: `${n}` }), ["a", "b"]),
    );
    expect(news.filter(Boolean)).toHaveLength(1);
    await Promise.all([delivery.deliverDue(), delivery.deliverDue()]);
    outbox.put(alertOf("once"), ["a", "b"]);
    await delivery.deliverDue();
    expect([idsOf(a), idsOf(b)]).toEqual([["once"], ["once"]]);
    expect(JSON.parse(a.received[0]!.body)).toMatchObject({ type: "budget.threshold", title: "0" });
    expect(await deliveryOf("once", "a")).toEqual({
      sink: "a",
      state: "delivered",
      attempts: 0,
      doneAt: start,
    });
  });

  test("the receiver can verify what it gets, as it got it", async () => {
    const receiver = await receiverOf();
    outbox.put(alertOf("signed", { text: "Über ☂ 💥" }), ["a"]);
    await deliveryTo([sinkAt("a", `${receiver.url}/hook?x=1`)]).deliverDue();
    const [{ url, headers, body } = { url: "", headers: {}, body: "" }] = receiver.received;
    expect(url).toBe("/hook?x=1");
    expect(headers["content-type"]).toBe("application/json");
    const verified = verify(
      headers as Record<string, string>,
      body,
      [readSecret(secretText)],
      Math.floor(start / 1_000_000),
    );
    expect(verified).toEqual({ ok: true, id: "signed" });
  });

  test("a Slack sink gets a message without signature", async () => {
    const receiver = await receiverOf();
    const { secretFile: _secret, ...slack } = sinkAt("slack", receiver.url, { format: "slack" });
    outbox.put(alertOf("one"), ["slack"]);
    await deliveryTo([slack]).deliverDue();
    expect(Object.keys(JSON.parse(receiver.received[0]!.body) as object)).toEqual(["text", "blocks"]);
    expect(receiver.received[0]!.headers).not.toHaveProperty("webhook-signature");
  });

  test("more rows than one look takes are all delivered, each once", async () => {
    const receiver = await receiverOf();
    const ids = Array.from({ length: 250 }, (_, n) => `a${n}`);
    for (const id of ids) outbox.put(alertOf(id), ["a"]);
    await deliveryTo([sinkAt("a", receiver.url)]).deliverDue();
    expect(idsOf(receiver)).toHaveLength(250);
    expect(new Set(idsOf(receiver))).toEqual(new Set(ids));
  });

  test("never more than four attempts of a webhook sink, or one of a Slack sink, are open at a time", async () => {
    /** Answers only once `width` attempts are open, and lets a moment pass in which one too many would show. */
    const gathering = (width: number, most: { open: number }): RequestListener => {
      const open: (() => void)[] = [];
      return (_request, response) => {
        open.push(() => void response.end());
        most.open = Math.max(most.open, open.length);
        if (open.length === width)
          setTimeout(() => {
            for (const answer of open.splice(0)) answer();
          }, 10);
      };
    };
    const mostWebhook = { open: 0 };
    const mostSlack = { open: 0 };
    const webhook = await receiverOf(gathering(4, mostWebhook));
    const slack = await receiverOf(gathering(1, mostSlack));
    for (let n = 0; n < 20; n++) outbox.put(alertOf(`a${n}`), ["w", "s"]);
    await deliveryTo([sinkAt("w", webhook.url), sinkAt("s", slack.url, { format: "slack" })]).deliverDue();
    expect([webhook.received.length, slack.received.length]).toEqual([20, 20]);
    expect([mostWebhook.open, mostSlack.open]).toEqual([4, 1]);
  });

  test("a running delivery looks by itself, and at once when woken", async () => {
    let tell: () => void;
    const arrived = new Promise<void>((resolve) => (tell = resolve));
    const receiver = await receiverOf((_request, response) => {
      response.end();
      tell();
    });
    const delivery = deliveryTo([sinkAt("a", receiver.url)], { intervalMs: 5 });
    delivery.start();
    outbox.put(alertOf("later"), ["a"]);
    await arrived;
    await delivery.stop(30_000);
    expect(await deliveryOf("later", "a")).toMatchObject({ state: "delivered" });
  });
});

describe("failing", () => {
  test("it is tried ten times by the schedule, always with the same id and a signature of its own time, then given up", async () => {
    const receiver = await receiverOf(answering([500]));
    const delivery = deliveryTo([sinkAt("a", receiver.url)]);
    outbox.put(alertOf("stubborn"), ["a"]);
    for (const [attempt, delay] of delaysMicros.entries()) {
      now += delay - 1;
      await delivery.deliverDue();
      expect(receiver.received).toHaveLength(attempt);
      now += 1;
      await delivery.deliverDue();
      expect(receiver.received).toHaveLength(attempt + 1);
    }
    expect(new Set(idsOf(receiver))).toEqual(new Set(["stubborn"]));
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    for (const field of ["webhook-timestamp", "webhook-signature"] as const)
      expect(new Set(receiver.received.map(({ headers }) => headers[field])).size).toBe(10);
    expect(await deliveryOf("stubborn", "a")).toEqual({
      sink: "a",
      state: "dead",
      attempts: 10,
      doneAt: now,
      error: "answered 500: so it is",
    });
    now += 10 * 86_400_000_000;
    await delivery.deliverDue();
    expect(receiver.received).toHaveLength(10);
    expect(events.map(({ kind }) => kind)).toEqual([...Array<string>(9).fill("failed"), "dead"]);
  });

  test("a dead letter that is revived is delivered", async () => {
    const receiver = await receiverOf(answering([410], [200]));
    outbox.put(alertOf("lazarus"), ["a"]);
    await deliveryTo([sinkAt("a", receiver.url)]).deliverDue();
    expect(await deliveryOf("lazarus", "a")).toMatchObject({ state: "dead" });
    expect(await outbox.store.reviveAlerts({ sink: "a", at: now })).toBe(1);
    await deliveryTo([sinkAt("a", receiver.url)]).deliverDue();
    expect(await deliveryOf("lazarus", "a")).toMatchObject({ state: "delivered", attempts: 0 });
  });

  test("Retry-After puts off the row and rests the whole lane", async () => {
    const receiver = await receiverOf(answering([429, { "Retry-After": "60" }], [200]));
    const { secretFile: _secret, ...slack } = sinkAt("slack", receiver.url, { format: "slack" });
    const delivery = deliveryTo([slack]);
    outbox.put(alertOf("one"), ["slack"]);
    outbox.put(alertOf("two"), ["slack"]);
    await delivery.deliverDue();
    now = start + 59_999_999;
    await delivery.deliverDue();
    expect(receiver.received).toHaveLength(1);
    expect(await deliveryOf("two", "slack")).toMatchObject({ state: "pending", attempts: 0 });
    now = start + 60_000_000;
    await delivery.deliverDue();
    expect(receiver.received).toHaveLength(3);
    for (const id of ["one", "two"])
      expect(await deliveryOf(id, "slack")).toMatchObject({ state: "delivered" });
  });

  test("410 disables the sink: what waits and what comes is dead, unsent; the next start tries again", async () => {
    const receiver = await receiverOf(answering([410], [200]));
    const slack = sinkAt("a", receiver.url, { format: "slack" });
    const delivery = deliveryTo([slack]);
    outbox.put(alertOf("one"), ["a"]);
    outbox.put(alertOf("two"), ["a"]);
    await delivery.deliverDue();
    outbox.put(alertOf("three"), ["a"]);
    await delivery.deliverDue();
    expect(receiver.received).toHaveLength(1);
    expect(await deliveryOf("one", "a")).toMatchObject({
      state: "dead",
      attempts: 1,
      error: "answered 410: so it is",
    });
    for (const id of ["two", "three"])
      expect(await deliveryOf(id, "a")).toMatchObject({
        state: "dead",
        attempts: 0,
        error: "the sink is disabled: it answered 410: so it is",
      });
    expect(events.filter(({ kind }) => kind === "sink_disabled")).toHaveLength(1);
    outbox.put(alertOf("four"), ["a"]);
    await deliveryTo([slack]).deliverDue();
    expect(await deliveryOf("four", "a")).toMatchObject({ state: "delivered" });
  });

  test("a sink that never answers, one that isn't there and one without its secret don't hold up a good one", async () => {
    const never = await receiverOf(() => undefined);
    const good = await receiverOf();
    const absent = await startReceiver();
    await absent.close();
    const unsigned = sinkAt("unsigned", good.url);
    rmSync(unsigned.secretFile!);
    const names = ["never", "absent", "unsigned", "good"];
    for (let n = 0; n < 150; n++) outbox.put(alertOf(`a${n}`), names);
    const delivery = deliveryTo(
      [sinkAt("never", never.url), sinkAt("absent", absent.url), unsigned, sinkAt("good", good.url)],
      { timeoutMs: 3_600_000 },
    );
    void delivery.deliverDue();
    await expect.poll(() => good.received.length, { timeout: 25_000 }).toBe(150);
    await expect.poll(async () => (await deliveryOf("a149", "absent")).attempts, { timeout: 25_000 }).toBe(1);
    await expect
      .poll(async () => (await deliveryOf("a149", "unsigned")).attempts, { timeout: 25_000 })
      .toBe(1);
    expect((await deliveryOf("a0", "absent")).error).toContain("ECONNREFUSED");
    expect((await deliveryOf("a0", "unsigned")).error).toContain("secret_file can't be used: ENOENT");
    expect(never.received).toHaveLength(4);
    await delivery.stop(0);
    expect(await deliveryOf("a0", "never")).toEqual({
      sink: "never",
      state: "pending",
      attempts: 0,
      nextAt: start,
    });
  });

  test("a poison row is a dead letter that says why, and the rows around it are delivered", async () => {
    const receiver = await receiverOf();
    for (const id of ["before", "poison", "after"]) outbox.put(alertOf(id), ["a"]);
    outbox.exec(`update alert set body = '{"id": "poison"' where id = 'poison'`);
    await deliveryTo([sinkAt("a", receiver.url)]).deliverDue();
    expect(new Set(idsOf(receiver))).toEqual(new Set(["after", "before"]));
    const dead = await deliveryOf("poison", "a");
    expect(dead.state).toBe("dead");
    expect(dead.error).toMatch(/^the alert can't be read: /);
  });

  test("what waits for a sink that is no longer configured is a dead letter", async () => {
    outbox.put(alertOf("orphan"), ["removed"]);
    await deliveryTo([]).deliverDue();
    expect(await deliveryOf("orphan", "removed")).toMatchObject({
      state: "dead",
      error: "no sink of this name is configured",
    });
  });
});

describe("an outbox that fails", () => {
  test("after sending isn't sent to again, but marked as soon as it can be; it is told once", async () => {
    const receiver = await receiverOf();
    let broken = true;
    const store = {
      ...outbox.store,
      alertDelivered: async (done: Parameters<typeof outbox.store.alertDelivered>[0]) => {
        if (broken) throw new Error("disk full");
        return outbox.store.alertDelivered(done);
      },
    };
    const delivery = deliveryTo([sinkAt("a", receiver.url)], { store });
    outbox.put(alertOf("one"), ["a"]);
    for (let n = 0; n < 3; n++) await delivery.deliverDue();
    expect(events.filter(({ kind }) => kind === "outbox_failed")).toEqual([
      { kind: "outbox_failed", sink: "a", error: "disk full" },
    ]);
    broken = false;
    await delivery.deliverDue();
    expect(idsOf(receiver)).toEqual(["one"]);
    expect(await deliveryOf("one", "a")).toMatchObject({ state: "delivered" });
  });

  test("for one row alone doesn't hold up the others; for all of them, sending rests", async () => {
    const receiver = await receiverOf();
    let broken = (id: string): boolean => id === "stuck";
    const store = {
      ...outbox.store,
      alertDelivered: async (done: Parameters<typeof outbox.store.alertDelivered>[0]) => {
        if (broken(done.id)) throw new Error("can't be marked");
        return outbox.store.alertDelivered(done);
      },
    };
    const { secretFile: _secret, ...slack } = sinkAt("a", receiver.url, { format: "slack" });
    const delivery = deliveryTo([slack], { store });
    for (const id of ["stuck", "one", "two"]) outbox.put(alertOf(id), ["a"]);
    await delivery.deliverDue();
    for (const id of ["one", "two"]) expect(await deliveryOf(id, "a")).toMatchObject({ state: "delivered" });
    broken = () => true;
    for (let n = 0; n < 40; n++) outbox.put(alertOf(`more${n}`), ["a"]);
    for (let n = 0; n < 5; n++) await delivery.deliverDue();
    expect(receiver.received).toHaveLength(3 + 9);
  });
});

describe("an outbox whose answers are lost", () => {
  test("holds up nothing: what was marked all the same is marked again, and nothing is sent twice", async () => {
    const receiver = await receiverOf();
    const store = {
      ...outbox.store,
      alertDelivered: async (done: Parameters<typeof outbox.store.alertDelivered>[0]) => {
        const before = (await deliveryOf(done.id, "a")).state;
        await outbox.store.alertDelivered(done);
        if (before === "pending") throw new Error("a thread of the service ended");
      },
    };
    const ids = Array.from({ length: 60 }, (_, n) => `a${n}`);
    for (const id of ids) outbox.put(alertOf(id), ["a"]);
    const delivery = deliveryTo([sinkAt("a", receiver.url)], { store });
    for (let n = 0; n < 7; n++) await delivery.deliverDue();
    expect(idsOf(receiver)).toHaveLength(60);
    expect(new Set(idsOf(receiver))).toEqual(new Set(ids));
  });
});

describe("stopping and dying", () => {
  test("a stop lets an open attempt finish", async () => {
    let answer = (): void => undefined;
    const receiver = await receiverOf((_request, response) => {
      answer = () => void response.end();
    });
    const delivery = deliveryTo([sinkAt("a", receiver.url)]);
    outbox.put(alertOf("open"), ["a"]);
    delivery.start();
    await expect.poll(() => receiver.received.length).toBe(1);
    const stopping = delivery.stop(30_000);
    answer();
    await stopping;
    expect(await deliveryOf("open", "a")).toMatchObject({ state: "delivered" });
  });

  test("a delivery killed between send and mark is made again after the restart, with the same id and body", async () => {
    const receiver = await receiverOf();
    const sink = sinkAt("a", receiver.url);
    outbox.put(alertOf("twice"), ["a"]);
    outbox.close();
    const dist = (module: string): string =>
      JSON.stringify(new URL(`../../dist/${module}`, import.meta.url).href);
    const program = `
      import { createDelivery } from ${dist("alert/deliver.js")};
      import { openDatabase } from ${dist("store/sqlite/open.js")};
      import { outboxRows, outboxHandlers } from ${dist("store/sqlite/outbox.js")};
      import { connectOutbox } from ${dist("store/acts/threaded.js")};
      const handlers = outboxHandlers(outboxRows(openDatabase(${JSON.stringify(outbox.file)})));
      const store = connectOutbox({ call: async (verb, value) => handlers[verb](value) });
      const alertDelivered = () => process.kill(process.pid, "SIGKILL");
      const delivery = createDelivery({ store: { ...store, alertDelivered }, sinks: [${JSON.stringify(sink)}], clock: () => ${start}, log: () => {} });
      await delivery.deliverDue();
    `;
    const file = `${outbox.file}.mjs`;
    writeFileSync(file, program);
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "inherit", "inherit"] });
    expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
    expect(idsOf(receiver)).toEqual(["twice"]);
    outbox = openOutbox(outbox.file);
    await deliveryTo([sink]).deliverDue();
    expect(idsOf(receiver)).toEqual(["twice", "twice"]);
    expect(receiver.received[1]!.body).toBe(receiver.received[0]!.body);
    expect(await deliveryOf("twice", "a")).toMatchObject({ state: "delivered" });
  });
});

describe("a test alert", () => {
  test("is sent signed, at once, whatever types the sink hears of, and says what came of it", async () => {
    const receiver = await receiverOf(answering([200], [403]));
    const sink = sinkAt("a", receiver.url, { types: ["runaway"] });
    expect(await sendTest(sink, { clock: () => now })).toEqual({ ok: true, status: 200 });
    expect(await sendTest(sink, { clock: () => now })).toEqual({
      ok: false,
      status: 403,
      error: "answered 403: so it is",
    });
    const [first, second] = receiver.received;
    expect(JSON.parse(first!.body)).toMatchObject({ type: "alert.test", data: { sink: "a" } });
    expect(
      verify(
        first!.headers as Record<string, string>,
        first!.body,
        [readSecret(secretText)],
        start / 1_000_000,
      ).ok,
    ).toBe(true);
    expect(first!.headers["webhook-id"]).not.toBe(second!.headers["webhook-id"]);
  });

  test("to a local address is refused unless the sink allows it", async () => {
    const receiver = await receiverOf();
    const sink = { ...sinkAt("a", receiver.url.replace("http:", "https:")), allowPrivate: false };
    expect(await sendTest(sink, { clock: () => now })).toEqual({
      ok: false,
      error: "`127.0.0.1` is at 127.0.0.1, which is not public: set allow_private to allow it",
    });
    expect(receiver.received).toEqual([]);
  });
});
