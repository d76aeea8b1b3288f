/** The server's end: what was asked is answered, and nothing that asks nothing holds it up. */
import { connect } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { startOnFreePort } from "./server.test-parts.ts";

const graceMs = 10_000;

test.each([
  ["a connection on which nothing was ever sent", ""],
  ["a connection on which a request never came to its end", "GET /slow HT"],
])("closing doesn't wait for %s", async (_what, sent) => {
  const server = await startOnFreePort(new Hono());
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write(sent);
  const ended = once(socket, "close");
  await sleep(50);
  const closed = await Promise.race([
    server.close(graceMs).then(() => true),
    sleep(5000, false, { ref: false }),
  ]);
  socket.destroy();
  await ended;
  expect(closed).toBe(true);
});

test("closing answers what was asked, on connections that are kept open too", async () => {
  const started = { count: 0 };
  const app = new Hono().get("/slow", async (c) => {
    started.count++;
    await sleep(400);
    return c.text("done");
  });
  const server = await startOnFreePort(app);
  const answers = [1, 2, 3].map(async () => (await fetch(`${server.url}/slow`)).text());
  while (started.count < 3) await sleep(5);
  await server.close(graceMs);
  expect(await Promise.all(answers)).toEqual(["done", "done", "done"]);
});

test("closing cuts what isn't answered within the grace", async () => {
  const app = new Hono().get("/never", () => new Promise<Response>(() => undefined));
  const server = await startOnFreePort(app);
  const answer = fetch(`${server.url}/never`).then(
    () => "answered",
    () => "cut",
  );
  await sleep(50);
  await server.close(100);
  expect(await answer).toBe("cut");
});
