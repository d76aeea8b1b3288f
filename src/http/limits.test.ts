/** Bounds of the server on real sockets: what passes them is told so, or cut, and never holds anyone else up. */
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpServer } from "./server.ts";
import { startOnFreePort } from "./server.test-parts.ts";

const open: HttpServer[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of open.splice(0)) await server.close(0);
});

type Started = HttpServer & { port: number; shed: string[]; go: () => void };

/** A server whose `/slow` answers when it is told to. */
const start = async (
  limits: NonNullable<Parameters<typeof startOnFreePort>[1]>["limits"],
): Promise<Started> => {
  const shed: string[] = [];
  const waiting: (() => void)[] = [];
  const app = new Hono()
    .all("/slow", async (c) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return c.text("done");
    })
    .all("*", (c) => c.text("ok"));
  const server = await startOnFreePort(app, {
    ...(limits ? { limits } : {}),
    onShed: (why) => shed.push(why),
  });
  open.push(server);
  return {
    ...server,
    port: Number(new URL(server.url).port),
    shed,
    go: () => {
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
};

const connected = async (port: number): Promise<Socket> => {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
};

/** All that comes until the other end closes. */
const rest = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, "close");
  return text;
};

const head = "GET / HTTP/1.1\r\nHost: localhost\r\n";

const untilTrue = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await sleep(5);
};

test("a head that is too large is answered 431, in the form of every error", async () => {
  const server = await start({ headerBytesMax: 2048 });
  const socket = await connected(server.port);
  socket.write(`${head}X-Long: ${"a".repeat(4096)}\r\n\r\n`);
  const text = await rest(socket);
  expect(text).toMatch(/^HTTP\/1\.1 431 /);
  expect(JSON.parse(text.slice(text.indexOf("\r\n\r\n")))).toEqual({
    status: 431,
    code: "headers_too_large",
    message: expect.any(String),
  });
  expect(server.shed).toEqual(["headers"]);
});

test("a flood of small headers is bounded too", async () => {
  const server = await start({});
  const socket = await connected(server.port);
  socket.write(`${head}${"a: b\r\n".repeat(20_000)}\r\n`);
  expect(await rest(socket)).toMatch(/^HTTP\/1\.1 431 /);
});

test("no header is dropped for there being many before it", async () => {
  const app = new Hono().get("/", (c) => c.text(c.req.header("x-forwarded-for") ?? "dropped"));
  const server = await startOnFreePort(app);
  open.push(server);
  const socket = await connected(Number(new URL(server.url).port));
  const ended = rest(socket);
  socket.write(`${head}Connection: close\r\n${"a:b\r\n".repeat(2500)}X-Forwarded-For: 192.0.2.1\r\n\r\n`);
  expect(await ended).toContain("192.0.2.1");
});

test("what isn't HTTP is answered 400 and cut", async () => {
  const server = await start({});
  const socket = await connected(server.port);
  socket.write("\u0016\u0003\u0001 hello\r\n\r\n");
  expect(await rest(socket)).toMatch(/^HTTP\/1\.1 400 .*"code":"invalid_request"/s);
  expect(server.shed).toEqual(["malformed"]);
});

test.each(["Host: é\r\n", "Host: 99999999999999999999\r\n", "Host: a b\r\n", "Host: /x\r\n"])(
  "a host that is none, as in `%s`, is told as any error is",
  async (host) => {
    const server = await start({});
    const socket = await connected(server.port);
    socket.write(`GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
    const text = await rest(socket);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toMatch(/\r\nx-request-id: [\w-]{36}\r\n/i);
    expect(text).toContain('"code":"invalid_request"');
  },
);

test("what can't be read and asks for a head is answered by a head alone", async () => {
  const server = await start({});
  const socket = await connected(server.port);
  socket.write("HEAD nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  const text = await rest(socket);
  expect(text).toMatch(/^HTTP\/1\.1 400 [^]*\r\n\r\n$/);
});

describe("slowloris:", () => {
  test.each([
    ["a head that comes drop by drop", head, "X-A: b\r\n"],
    [
      "a body that comes drop by drop",
      `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n`,
      "a",
    ],
  ])("%s is cut, however many drops there are", async (_what, first, drop) => {
    const server = await start({ receiveMsMax: 400 });
    const socket = await connected(server.port);
    const began = performance.now();
    const ended = rest(socket);
    socket.write(first);
    const drops = setInterval(() => socket.writable && socket.write(drop), 50);
    const text = await ended;
    clearInterval(drops);
    expect(performance.now() - began).toBeGreaterThan(390);
    // A body may have been answered before it was there; it is cut all the same.
    if (first === head) expect(text).toMatch(/^HTTP\/1\.1 408 .*"code":"receive_timeout"/s);
  });

  test("hundreds of them don't keep anyone from being answered", async () => {
    const server = await start({ receiveMsMax: 30_000 });
    for (let n = 0; n < 300; n++) (await connected(server.port)).write(head);
    expect(await (await fetch(server.url)).text()).toBe("ok");
  });
});

test("connections beyond the bound are closed at once, and there is room again when others go", async () => {
  const server = await start({ connectionsMax: 3 });
  const held = [await connected(server.port), await connected(server.port), await connected(server.port)];
  await untilTrue(() => server.open().connections === 3);
  const beyond = await connected(server.port);
  expect(await rest(beyond)).toBe("");
  expect(server.shed).toEqual(["connections"]);
  held[0]!.destroy();
  await untilTrue(() => server.open().connections === 2);
  expect(await (await fetch(server.url)).text()).toBe("ok");
});

test("requests beyond the bound are answered 503 at once, with their id, and health is answered all the same", async () => {
  const server = await start({ requestsMax: 2 });
  const slow = [fetch(`${server.url}/slow`), fetch(`${server.url}/slow`)];
  await untilTrue(() => server.open().requests === 2);
  const refused = await fetch(server.url, { headers: { "x-request-id": "mine" } });
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.headers.get("x-request-id")).toBe("mine");
  expect(await refused.json()).toMatchObject({ code: "overloaded" });
  for (const path of ["/healthz", "/readyz", "/metrics"])
    expect((await fetch(`${server.url}${path}`)).status).toBe(200);
  expect((await fetch(`${server.url}/healthzz`)).status).toBe(503);
  server.go();
  expect(await Promise.all(slow.map(async (answer) => (await answer).text()))).toEqual(["done", "done"]);
  expect((await fetch(server.url)).status).toBe(200);
  expect(server.shed).toEqual(["requests", "requests"]);
});

test("who goes away before the answer makes room", async () => {
  const server = await start({ requestsMax: 1 });
  const gone = request(`${server.url}/slow`);
  gone.on("error", () => undefined);
  gone.end();
  await untilTrue(() => server.open().requests === 1);
  gone.destroy();
  await untilTrue(() => server.open().requests === 0);
  expect((await fetch(server.url)).status).toBe(200);
});

test("a connection without a request is closed after a while, and one in use isn't", async () => {
  const server = await start({ idleMsMax: 1000 });
  const socket = await connected(server.port);
  const ended = rest(socket);
  socket.write(`${head}\r\n`);
  await sleep(600);
  socket.write(`${head}\r\n`);
  const began = performance.now();
  const text = await ended;
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  expect(performance.now() - began).toBeGreaterThan(900);
});
