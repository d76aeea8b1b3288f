/** Bodies as they arrive, or don't. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { Problem } from "../kit/problem.ts";
import { readBody } from "./body.ts";
import { startOnFreePort } from "./server.test-parts.ts";

test.each([
  ["with a declared length", "Content-Length: 500\r\n\r\n{"],
  ["in chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
])(
  "a body %s that its sender breaks off is the sender's fault, and no failure of ours",
  async (_what, rest) => {
    const failed: unknown[] = [];
    const app = new Hono().post("/", async (c) => {
      try {
        return c.json(await readBody(c, { bodyBytesMax: 1024, jsonDepthMax: 8 }));
      } catch (error) {
        failed.push(error);
        return c.body(null, 400);
      }
    });
    const server = await startOnFreePort(app);
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    await once(socket, "connect");
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${rest}`);
    await sleep(100);
    socket.destroy();
    while (failed.length === 0) await sleep(5);
    await server.close(1000);
    expect(failed).toEqual([expect.any(Problem)]);
    expect(failed[0]).toMatchObject({ code: "invalid_request", status: 400 });
  },
);
