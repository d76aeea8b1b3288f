/** Headers are read as Fetch would give them, from the wire and from inside the process. */
import { once } from "node:events";
import { connect } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { header, headerNames } from "./headers.ts";

const app = new Hono();
app.get("/", (c) =>
  c.json({
    twice: header(c, "x-twice") ?? null,
    host: header(c, "host") ?? null,
    names: [...headerNames(c)].sort(),
  }),
);
const server = createAdaptorServer({ fetch: app.fetch });
let port = 0;
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  ({ port } = address);
});
afterAll(() => {
  server.close();
});

/** Sends lines as they are: what a client library would join or refuse arrives apart. */
const ask = async (lines: readonly string[]): Promise<unknown> => {
  const socket = connect(port, "127.0.0.1");
  socket.end(`${["GET / HTTP/1.1", ...lines, "Connection: close"].join("\r\n")}\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
};

test("a header that is sent twice is read as both, whatever its capitals", async () => {
  expect(await ask(["Host: a.example", "X-Twice: one", "x-tWICE:  two "])).toEqual({
    twice: "one, two",
    host: "a.example",
    names: ["connection", "host", "x-twice"],
  });
});

test("a request from inside the process is read alike", async () => {
  const headers = new Headers([
    ["X-Twice", "one"],
    ["x-twice", "two"],
    ["host", "a.example"],
  ]);
  expect(await (await app.request("/", { headers })).json()).toEqual({
    twice: "one, two",
    host: "a.example",
    names: ["host", "x-twice"],
  });
});
