/** The HTTP server: starts listening, and stops without leaving a request unanswered. */
import { type IncomingMessage, Server, type ServerResponse } from "node:http";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { assert } from "../kit/assert.ts";
import { Problem } from "../kit/problem.ts";

export type HttpServer = {
  /** Where it listens, as a URL. */
  url: string;
  /** Stops accepting, answers what it has, and closes; at most `graceMs`. */
  close: (graceMs: number) => Promise<void>;
};

/** How long a connection without a request is left to a client that may be sending one. */
const idleMs = 250;

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      const detail = taken ? `${host}:${port} is taken by another process` : error.message;
      reject(new Problem("not_ready", `can't listen: ${detail}`, { field: "listen", cause: error }));
    });
    server.listen(port, host, resolve);
  });

/** Starts to listen. Port 0 takes a free one. @throws Problem `not_ready` when the address can't be had */
export const startHttp = async (
  app: Hono,
  { host, port }: { host: string; port: number },
): Promise<HttpServer> => {
  const server = createAdaptorServer({ fetch: app.fetch });
  assert(server instanceof Server, "the adaptor made a server that is not HTTP/1.1");
  const requests = { open: 0 };
  let closing = false;
  server.prependListener("request", (_request: IncomingMessage, response: ServerResponse) => {
    requests.open++;
    response.once("close", () => requests.open--);
    if (closing) response.setHeader("Connection", "close");
  });
  await listen(server, host, port);
  const address = server.address();
  assert(address !== null && typeof address === "object", "a TCP server has a port");
  return {
    url: `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
    close: async (graceMs) => {
      closing = true;
      const closed = new Promise<void>((resolve) => {
        server.once("close", () => resolve());
      });
      // `http.Server.close` would also cut idle connections at once, on which a request may be arriving.
      net.Server.prototype.close.call(server);
      const deadline = performance.now() + graceMs;
      const idleAt = performance.now() + idleMs;
      while (performance.now() < deadline && (requests.open > 0 || performance.now() < idleAt))
        await sleep(10);
      // Not only the idle ones: Node counts a connection on which nothing was sent yet as busy.
      server.closeAllConnections();
      await closed;
    },
  };
};
