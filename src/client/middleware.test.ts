/** The middlewares within the real frameworks, over real HTTP, in front of a PDP that permits, denies and breaks. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { serve } from "@hono/node-server";
import express, { type Request as ExpressRequest } from "express";
import { fastify, type FastifyRequest } from "fastify";
import { type Context, Hono } from "hono";
import { stream } from "hono/streaming";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  byPath,
  hangUp,
  json,
  type LocalPdp,
  type Respond,
  startLocalPdp,
} from "../../conformance-tests/local-pdp.ts";
import { until } from "../../conformance-tests/service.ts";
import { expressGuard } from "./express.ts";
import { fastifyGuard } from "./fastify.ts";
import { type EnforceOptions, grantOf, honoGuard } from "./hono.ts";
import { type Client, createClient, type Denial, type Question } from "./index.ts";

const hold = { id: "h1", amounts: { usd_micros: 100 } };
const obligations = [{ id: "1", type: "notification", properties: { to: "x" } }];
const permit = json({ decision: true, context: { obligations, remit: { hold } } });
const whole = ["/v1/holds/h1/settle", { amounts: { usd_micros: 100 }, final: true }];
const half = ["/v1/holds/h1/settle", { amounts: { usd_micros: 50 }, final: true }];

let pdp: LocalPdp;
let client: Client;
let denials: Denial[] = [];
/** Paths that a handler was reached for, with the obligations it saw. */
let reached: unknown[] = [];

/** The connection of the last request to Express. */
let lastSocket: Socket | undefined;

const answering = (evaluation: Respond): Respond =>
  byPath({
    "/access/v1/evaluation": evaluation,
    "/v1/holds/h1/settle": json({ hold: { id: "h1", state: "settled" } }),
    "/v1/holds/h1/release": json({ hold: { id: "h1", state: "released" } }),
  });
const settlements = (): unknown[] =>
  pdp.received.filter(({ path }) => path.startsWith("/v1")).map(({ path, body }) => [path, body]);

beforeAll(async () => {
  pdp = await startLocalPdp();
  client = createClient({ baseUrl: pdp.url, timeoutMs: 5000, supportedObligations: ["notification"] });
});
beforeEach(() => {
  pdp.respond(answering(permit));
  denials = [];
  reached = [];
});
afterAll(() => pdp.close());

const questionOf = (path: string): Question => {
  if (path === "/odd") throw new Error("no such thing");
  return {
    subject: { type: "user", id: "a" },
    action: { name: "GET" },
    resource: { type: "route", id: path },
  };
};
const reach = (request: object, path: string): void => {
  const grant = grantOf(request);
  reached.push([path, grant?.permit.obligations]);
  if (path === "/report" || path === "/stream") grant?.report({ amounts: { usd_micros: 50 } });
  if (path === "/throw") throw new Error("mine");
};
const options = <R>(path: (request: R) => string): EnforceOptions<R> => ({
  client,
  question: (request) => questionOf(path(request)),
  onDenied: (denial) => {
    denials.push(denial);
  },
});

type Started = { url: string; close: () => void };
const address = (server: Pick<Server, "address">): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const frameworks: Record<string, () => Promise<Started>> = {
  hono: async () => {
    const app = new Hono();
    app.onError((_, c) => c.text("broken", 500));
    app.use(honoGuard(options((c: Context) => c.req.path)));
    app.get("/stream", (c) => {
      const grant = grantOf(c)!;
      return stream(c, async (out) => {
        await out.write("one ");
        reach(c, "/stream");
        expect(grant.hold()).toMatchObject({ id: "h1" });
        await out.write("two");
      });
    });
    app.get("*", (c) => {
      reach(c, c.req.path);
      return c.text("done");
    });
    const server = await new Promise<ReturnType<typeof serve>>((resolve) => {
      const started = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(started));
    });
    return { url: address(server), close: () => server.close() };
  },
  express: async () => {
    const app = express();
    app.use(
      expressGuard(
        options((request: ExpressRequest) => {
          lastSocket = request.socket;
          return request.path;
        }),
      ),
    );
    app.get("/stream", (request, response) => {
      response.write("one ");
      reach(request, "/stream");
      response.end("two");
    });
    app.get(/.*/, (request, response) => {
      reach(request, request.path);
      response.send("done");
    });
    app.use((_error: unknown, _request: unknown, response: express.Response, _next: unknown) => {
      response.status(500).send("broken");
    });
    const server = createServer(app);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return { url: address(server), close: () => server.close() };
  },
  fastify: async () => {
    const app = fastify();
    app.addHook("preHandler", fastifyGuard(options((request: FastifyRequest) => request.url)));
    app.get("/stream", (request, reply) => {
      reply.hijack();
      reply.raw.write("one ");
      reach(request, "/stream");
      reply.raw.end("two");
    });
    app.get("*", (request) => {
      reach(request, request.url);
      return "done";
    });
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    return { url, close: () => void app.close() };
  },
};

describe.each(Object.entries(frameworks))("%s", (_, start) => {
  let app: Started;
  beforeAll(async () => {
    app = await start();
  });
  afterAll(() => app.close());

  test("lets a permitted request pass, hands over its obligations, and charges its hold once", async () => {
    const response = await fetch(`${app.url}/a`);
    expect([response.status, await response.text()]).toEqual([200, "done"]);
    expect(reached).toEqual([["/a", obligations]]);
    expect(pdp.received[0]!.body).toMatchObject({ resource: { type: "route", id: "/a" } });
    await until(() => settlements().length > 0);
    expect(settlements()).toEqual([whole]);
  });

  test("charges what the handler reports, also from within a stream", async () => {
    for (const path of ["/report", "/stream"]) {
      pdp.respond(answering(permit));
      const text = await (await fetch(app.url + path)).text();
      expect(text).toBe(path === "/stream" ? "one two" : "done");
      await until(() => settlements().length > 0);
      expect(settlements()).toEqual([half]);
    }
  });

  test("settles an answer that nobody reads to its end, or that has no body", async () => {
    expect((await fetch(`${app.url}/a`, { method: "HEAD" })).status).toBe(200);
    await until(() => settlements().length > 0);
    expect(settlements()).toEqual([whole]);
  });

  test("settles when the handler throws", async () => {
    expect((await fetch(`${app.url}/throw`)).status).toBe(500);
    await until(() => settlements().length > 0);
    expect(settlements()).toEqual([whole]);
  });

  test("answers a denial with 403 and the text for the user, and never with the administrator's", async () => {
    const context = {
      reason_user: { "403": "Not yours." },
      reason_admin: { "403": "policy p1 by secret-group" },
    };
    pdp.respond(answering(json({ decision: false, context })));
    const response = await fetch(`${app.url}/a`);
    expect(response.status).toBe(403);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await response.json()).toEqual({ status: 403, code: "forbidden", message: "Not yours." });
    expect([reached, denials.length, denials[0]?.source]).toEqual([[], 1, "pdp"]);
  });

  test.each([
    ["is broken", json("{")],
    ["is away", hangUp],
    ["answers 500", json({ message: "stack trace" }, 500)],
    [
      "demands what is not supported",
      json({ decision: true, context: { obligations: [{ id: "1", type: "step-up" }] } }),
    ],
  ])("denies when the PDP %s, without a word on why", async (_, respond) => {
    pdp.respond(answering(respond));
    const response = await fetch(`${app.url}/a`);
    expect(response.status).toBe(403);
    expect(await response.json()).toEqual({
      status: 403,
      code: "forbidden",
      message: "the request could not be authorized",
    });
    expect(reached).toEqual([]);
    expect(denials).toMatchObject([{ source: "client" }]);
  });

  test("denies a request that has no question, and asks nothing", async () => {
    expect((await fetch(`${app.url}/odd`)).status).toBe(403);
    expect(denials).toMatchObject([{ reason: "invalid_question" }]);
    expect([reached, pdp.received]).toEqual([[], []]);
  });
});

test("a client that left while the PDP was asked reaches no handler behind express, and its hold is released", async () => {
  const app = await frameworks["express"]!();
  try {
    const controller = new AbortController();
    pdp.respond(
      answering(async (received, response) => {
        const gone = once(lastSocket!, "close");
        controller.abort();
        await gone;
        return permit(received, response);
      }),
    );
    await expect(fetch(`${app.url}/a`, { signal: controller.signal })).rejects.toThrow("abort");
    await until(() => settlements().length > 0);
    expect(settlements()).toEqual([["/v1/holds/h1/release", { reason: "the client left before it ran" }]]);
    expect(reached).toEqual([]);
  } finally {
    app.close();
  }
});
