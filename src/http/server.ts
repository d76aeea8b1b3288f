/** The HTTP server: starts listening, keeps what it takes in within bounds, and stops without leaving a request unanswered. */
import { randomUUID } from "node:crypto";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, Server as TlsServer } from "node:https";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { getRequestListener, RequestError } from "@hono/node-server";
import type { Hono } from "hono";
import { assert } from "../kit/assert.ts";
import { Problem, problemStatus } from "../kit/problem.ts";
import type { Shed } from "../telemetry/metrics.ts";
import { type Admission, createAdmission } from "./admission.ts";
import { problemAnswer } from "./answer.ts";
import { requestIdPattern } from "./endpoint.ts";
import type { Tls } from "./tls.ts";

/** An address, or the path of a Unix socket. */
export type ListenAt = { host: string; port: number } | { path: string };

export type ServerLimits = {
  /** Largest head of a request, in bytes. */
  headerBytesMax: number;
  connectionsMax: number;
  requestsMax: number;
  shedWaitMs: number;
  /** Longest that a request may take to arrive whole. */
  receiveMsMax: number;
  /** How long a connection without a request is kept open. */
  idleMsMax: number;
};

export type HttpServer = {
  /** Where it listens, as a URL. */
  url: string;
  /** Requests that are being answered, and connections. */
  open: () => { requests: number; connections: number };
  /** Stops accepting, answers what it has, and closes; at most `graceMs`. */
  close: (graceMs: number) => Promise<void>;
};

export type HttpOptions = {
  listen: ListenAt;
  limits: ServerLimits;
  tls?: Tls | undefined;
  /** Hears what was turned away, and why. */
  onShed?: (why: Shed) => void;
};

/** How long a connection without a request is left to a client that may be sending one. */
const idleMs = 250;

/** How often it is looked for requests that take too long to arrive. */
const checkMs = 500;

/** The path is there for whoever looks what is wrong: it is answered when nothing else is. */
const always = /^\/(?:healthz|readyz|metrics)(?:\?|$)/;

/** A body that nobody will read is not worth keeping a connection for. */
const drainBytesMax = 65_536;

const listen = (server: net.Server, at: ListenAt): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const name = "path" in at ? at.path : `${at.host}:${at.port}`;
      const taken = error.code === "EADDRINUSE";
      const detail = taken ? `${name} is taken by another process` : error.message;
      reject(new Problem("not_ready", `can't listen: ${detail}`, { field: "listen", cause: error }));
    });
    if ("path" in at) server.listen(at.path, resolve);
    else server.listen(at.port, at.host, resolve);
  });

/** A socket file that nobody answers at was left behind by a process that was killed. */
const clearSocket = async (path: string): Promise<void> => {
  const alive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
  if (!alive) rmSync(path, { force: true });
};

/** `rawPacket`: what was read last. */
type ClientError = NodeJS.ErrnoException & { rawPacket?: Buffer };

type Fault = { problem: Problem; why: Shed };

/** What never became a request. */
const faultOf = ({ code }: NodeJS.ErrnoException): Fault => {
  if (code === "HPE_HEADER_OVERFLOW")
    return { problem: new Problem("headers_too_large", "the request's head is too large"), why: "headers" };
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { problem: new Problem("receive_timeout", "the request did not arrive in time"), why: "slow" };
  return { problem: new Problem("invalid_request", "this is not HTTP/1.1"), why: "malformed" };
};

/** An answer as bytes, where there is no request to answer to. */
const rawAnswer = (problem: Problem): string => {
  const { body, headers = {} } = problemAnswer(problem);
  const lines = Object.entries({
    ...headers,
    "Content-Length": Buffer.byteLength(body),
    Connection: "close",
  });
  const head = lines.map(([name, value]) => `${name}: ${value}`).join("\r\n");
  return `HTTP/1.1 ${problemStatus[problem.code]} ${problem.code}\r\n${head}\r\n\r\n${body}`;
};

const busy = problemAnswer(new Problem("overloaded", "too many requests are open"));

/** Takes in as many requests as can be answered soon, and turns the others away before they cost anything. */
const admitting =
  (admission: Admission, answer: RequestListener, onShed: HttpOptions["onShed"]): RequestListener =>
  (request, response) => {
    if (always.test(request.url ?? "")) return answer(request, response);
    if (admission.enter()) {
      const started = performance.now();
      response.once("close", () => admission.leave(performance.now() - started));
      return answer(request, response);
    }
    onShed?.("requests");
    const given = request.headers["x-request-id"];
    const known = typeof given === "string" && requestIdPattern.test(given);
    const long = Number(request.headers["content-length"] ?? Infinity) > drainBytesMax;
    response.writeHead(busy.status, {
      ...busy.headers,
      "Content-Length": Buffer.byteLength(busy.body),
      "X-Request-ID": known ? given : randomUUID(),
      ...(long && request.method !== "GET" ? { Connection: "close" } : {}),
    });
    response.end(busy.body);
  };

const urlOf = (server: Server, at: ListenAt, secure: boolean): string => {
  if ("path" in at) return `unix:${at.path}`;
  const address = server.address();
  assert(address !== null && typeof address === "object", "a TCP server has a port");
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http${secure ? "s" : ""}://${host}:${address.port}`;
};

const createBounded = ({ limits, tls }: HttpOptions, answer: RequestListener): Server | TlsServer => {
  const options = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.receiveMsMax,
    requestTimeout: limits.receiveMsMax,
    connectionsCheckingInterval: Math.min(checkMs, limits.receiveMsMax),
    keepAliveTimeout: limits.idleMsMax,
    noDelay: true,
    requireHostHeader: true,
  };
  const server = tls
    ? createTlsServer({ ...options, ...tls.options(), handshakeTimeout: limits.receiveMsMax }, answer)
    : createServer(options, answer);
  // Their bytes are bounded. A bound on their number would drop those beyond it without a word, and one that a proxy adds is last.
  server.maxHeadersCount = 0;
  server.maxConnections = limits.connectionsMax;
  if (server instanceof TlsServer) tls?.follow(server);
  return server;
};

/** Whether a host is one of a URL: the adaptor finds out only where a whole URL is wanted. The usual one is known. */
const hostCheck = (): ((host: string) => boolean) => {
  let known = "";
  return (host) => {
    if (host === known) return true;
    if (!URL.canParse(`http://${host}/`)) return false;
    known = host;
    return true;
  };
};

const strangeHost = new Problem("invalid_request", "the host is not one of a URL", { field: "host" });

const sendProblem = (response: ServerResponse, problem: Problem): void => {
  const { status, body, headers } = problemAnswer(problem, { "X-Request-ID": randomUUID() });
  response.writeHead(status, { ...headers, "Content-Length": Buffer.byteLength(body) }).end(body);
};

/** The application answers whatever is wrong with a request, but for what is none to it: a host or a path that is no URL's. */
const unreadable = (error: unknown): Response => {
  const { status, body, headers } = problemAnswer(
    error instanceof RequestError
      ? new Problem("invalid_request", "the request's host or path is not one of a URL", { cause: error })
      : new Problem("internal", "internal error", { cause: error }),
    { "X-Request-ID": randomUUID() },
  );
  return new Response(body, { status, ...(headers ? { headers } : {}) });
};

/** Starts to listen. Port 0 takes a free one. @throws Problem `not_ready` when the address can't be had */
export const startHttp = async (app: Hono, options: HttpOptions): Promise<HttpServer> => {
  const { listen: at, limits, tls, onShed } = options;
  const admission = createAdmission(limits);
  const listener = getRequestListener(app.fetch, { errorHandler: unreadable });
  const requests = { open: 0 };
  const sockets = new Set<net.Socket>();
  let closing = false;
  const isHost = hostCheck();
  const answer = admitting(
    admission,
    (request, response) => {
      if (isHost(request.headers.host ?? "")) void listener(request, response);
      else sendProblem(response, strangeHost);
    },
    onShed,
  );
  const server = createBounded(options, (request, response) => {
    requests.open++;
    response.once("close", () => requests.open--);
    if (closing) response.setHeader("Connection", "close");
    answer(request, response);
  });
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("drop", () => onShed?.("connections"));
  server.on("clientError", (error: ClientError, socket: net.Socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
    const { problem, why } = faultOf(error);
    onShed?.(why);
    const answered = rawAnswer(problem);
    // Whoever asked for the head alone takes a body for the next answer.
    const isHead = error.rawPacket?.subarray(0, 5).toString("latin1") === "HEAD ";
    const end = isHead ? answered.indexOf("\r\n\r\n") + 4 : answered.length;
    socket.end(answered.slice(0, end), () => socket.destroy());
  });
  if ("path" in at) await clearSocket(at.path);
  await listen(server, at);
  if ("path" in at) chmodSync(at.path, 0o660);
  return {
    url: urlOf(server, at, tls !== undefined),
    open: () => ({ requests: requests.open, connections: sockets.size }),
    close: async (graceMs) => {
      closing = true;
      const closed = new Promise<void>((resolve) => {
        server.once("close", () => resolve());
      });
      tls?.stop();
      // `http.Server.close` would also cut idle connections at once, on which a request may be arriving.
      net.Server.prototype.close.call(server);
      const deadline = performance.now() + graceMs;
      const idleAt = performance.now() + idleMs;
      while (performance.now() < deadline && (requests.open > 0 || performance.now() < idleAt))
        await sleep(10);
      // Not only the idle ones: Node counts a connection on which nothing was sent yet as busy, and one in its handshake as none.
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};
