/** A gate in front of an MCP server that is spoken to over streamable HTTP: POST, GET and DELETE, with its sessions. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { JsonError, type JsonObject, type JsonValue, isObject, parseJson } from "../../kit/json.ts";
import { checkAddress } from "../address.ts";
import { agentByBearer } from "../bearer.ts";
import { closeServer, isLoopback, type Listen, listenOn } from "../listen.ts";
import { type GateOptions, reporterFor } from "./desk.ts";
import { codes, errorTo } from "./message.ts";
import { relayAnswer } from "./relay.ts";
import { createSessions, type Session, type Sessions } from "./sessions.ts";

export type McpHttpOptions = Omit<GateOptions, "agent" | "run"> & {
  /** The server's MCP endpoint. */
  upstream: string;
  /** Sent to it as a bearer token. What the client sent goes no further. */
  upstreamKey?: string | undefined;
  /** Who acts, whoever asks. Without it each request bears the key of its agent as a bearer token. */
  agent?: GateOptions["agent"] | undefined;
  /** One run for all sessions; without it each has its own. */
  run?: string | undefined;
  /** `port` 0 takes a free one. */
  listen: Listen;
  /** How long a message may be, either way; 4 MiB by default. */
  bytesMax?: number | undefined;
};

export type McpHttp = {
  /** The address for MCP clients. */
  url: string;
  close: () => Promise<void>;
};

type Port = { options: McpHttpOptions; sessions: Sessions; bytesMax: number };

/** Answered in HTTP, before there is anything of JSON-RPC to answer. */
class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const sendJson = (response: ServerResponse, status: number, body: JsonObject): void => {
  if (response.headersSent || response.closed) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
};

const readBody = async (request: IncomingMessage, bytesMax: number): Promise<JsonValue> => {
  const type = (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/json" || request.headers["content-encoding"] !== undefined)
    throw new Refused(415, codes.invalidRequest, "the request must be application/json, unencoded");
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax)
      throw new Refused(413, codes.invalidRequest, `the message is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes)));
  } catch (error) {
    const why = error instanceof JsonError ? `${error.field}: ${error.message}` : "it is not UTF-8";
    throw new Refused(400, codes.parseError, `the message is not strict JSON: ${why}`);
  }
};

/** @throws Refused 401 for nobody's key, 503 where nobody can say */
const agentOf = async ({ options }: Port, request: IncomingMessage): Promise<GateOptions["agent"]> => {
  if (options.agent !== undefined) return options.agent;
  const known = await agentByBearer(options.client, request.headers.authorization);
  if (known === "unavailable")
    throw new Refused(503, codes.unavailable, "the key could not be checked; try again later");
  if (known === "unknown") throw new Refused(401, codes.denied, "this is no agent's key; do not retry");
  return known;
};

const header = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name];
  return typeof value === "string" && /^[\x21-\x7e]{1,512}$/.test(value) ? value : undefined;
};

/** What goes to the server: of the client's headers those of the protocol, and those that repeat the message as it was judged. */
const headersFor = (
  { options }: Port,
  request: IncomingMessage,
  message?: JsonObject,
): Record<string, string> => {
  const headers: Record<string, string> = { "user-agent": "remit-proxy" };
  for (const name of ["mcp-session-id", "mcp-protocol-version", "last-event-id"]) {
    const value = header(request, name);
    if (value !== undefined) headers[name] = value;
  }
  if (options.upstreamKey !== undefined) headers["authorization"] = `Bearer ${options.upstreamKey}`;
  if (message === undefined) return { ...headers, accept: "text/event-stream" };
  const { method, params } = message;
  if (typeof method === "string") headers["mcp-method"] = method;
  const { name, uri } = isObject(params) ? params : {};
  const item = name ?? uri;
  if (typeof item === "string" && /^[\x21-\x7e]{1,512}$/.test(item)) headers["mcp-name"] = item;
  return { ...headers, accept: "application/json, text/event-stream", "content-type": "application/json" };
};

const sessionOf = (
  { sessions }: Port,
  request: IncomingMessage,
  agent: GateOptions["agent"],
): Session | undefined => {
  const id = request.headers["mcp-session-id"];
  if (id === undefined) return undefined;
  const session = typeof id === "string" ? sessions.find(id, agent) : undefined;
  if (session === undefined) throw new Refused(404, codes.denied, "there is no such session");
  return session;
};

const ask = async (port: Port, init: RequestInit): Promise<Response> =>
  fetch(port.options.upstream, { ...init, redirect: "manual" });

type Exchange = { session: Session; request: IncomingMessage; response: ServerResponse; signal: AbortSignal };

/** Sends one message on, and its answer back. */
const forwardPost = async (port: Port, exchange: Exchange, message: JsonObject): Promise<void> => {
  const { session, request, response, signal } = exchange;
  const { gate } = session;
  const headers = headersFor(port, request, message);
  const answer = await ask(port, { method: "POST", headers, body: JSON.stringify(message), signal });
  const id = answer.headers.get("mcp-session-id");
  if (answer.ok && message["method"] === "initialize" && id !== null) port.sessions.keep(id, session);
  if (answer.status === 202) {
    response.writeHead(202).end();
    return;
  }
  if (!answer.ok) {
    await answer.body?.cancel();
    const status = answer.status === 404 ? 404 : 502;
    throw new Refused(status, codes.unavailable, `the server answered ${answer.status}`);
  }
  await relayAnswer(
    {
      gate,
      response,
      bytesMax: port.bytesMax,
      headers: id === null ? {} : { "mcp-session-id": id },
      answerServer: async (back) => {
        const headers = {
          ...headersFor(port, request, back),
          ...(id === null ? {} : { "mcp-session-id": id }),
        };
        const taken = await ask(port, { method: "POST", headers, body: JSON.stringify(back), signal });
        await taken.body?.cancel();
      },
    },
    answer,
  );
};

const post = async (port: Port, request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => {
  const agent = await agentOf(port, request);
  const inSession = sessionOf(port, request, agent);
  const value = await readBody(request, port.bytesMax);
  const begins = isObject(value) && value["method"] === "initialize";
  const session = inSession ?? port.sessions.fresh(agent, begins);
  const { forward, answer } = await session.gate.fromClient(value);
  const outside = inSession === undefined && !begins;
  try {
    if (answer !== undefined) sendJson(response, 200, answer);
    else if (forward === undefined) throw new Refused(400, codes.invalidRequest, "this is not passed on");
    else await forwardPost(port, { session, request, response, signal }, forward);
  } catch (error) {
    // Nothing more will come of it, so what it reserved ends here.
    if (isObject(forward)) await session.gate.abandon(forward);
    throw error;
  } finally {
    if (outside) await session.gate.end("the exchange has ended");
  }
};

/** The stream on which a server speaks unasked, and the end of a session. */
const getOrDelete = async (
  port: Port,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
) => {
  const session = sessionOf(port, request, await agentOf(port, request));
  if (session === undefined) throw new Refused(400, codes.invalidRequest, "the request names no session");
  const method = request.method!;
  const answer = await ask(port, { method, headers: headersFor(port, request), signal });
  if (method === "DELETE" && answer.status < 500)
    await port.sessions.end(header(request, "mcp-session-id")!, "the session was ended");
  if (method === "DELETE" || !answer.ok) {
    await answer.body?.cancel();
    response
      .writeHead(answer.ok || answer.status === 405 || answer.status === 404 ? answer.status : 502)
      .end();
    return;
  }
  const answerServer = async (back: JsonObject): Promise<void> => {
    const headers = headersFor(port, request, back);
    await (await ask(port, { method: "POST", headers, body: JSON.stringify(back), signal })).body?.cancel();
  };
  const { gate } = session;
  await relayAnswer({ gate, response, bytesMax: port.bytesMax, headers: {}, answerServer }, answer);
};

const answer = async (port: Port, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  // Web pages have no business here (MCP, streamable HTTP, security warning).
  if (request.headers.origin !== undefined) throw new Refused(403, codes.denied, "web pages are refused");
  const cut = new AbortController();
  response.once("close", () => cut.abort());
  if (request.method === "POST") return post(port, request, response, cut.signal);
  if (request.method === "GET" || request.method === "DELETE")
    return getOrDelete(port, request, response, cut.signal);
  throw new Refused(405, codes.invalidRequest, "the method is not allowed");
};

/** For reports that are on their way when the proxy stops. */
const drainMs = 2000;

/**
 * Starts a proxy.
 * @throws TypeError for an upstream that is not safe, or where anyone in the network would act as one agent
 * @throws Error where it can't listen
 */
export const startMcpHttp = async (options: McpHttpOptions): Promise<McpHttp> => {
  checkAddress("upstream", options.upstream, false);
  if (options.agent !== undefined && !isLoopback(options.listen.host))
    throw new TypeError("beyond this machine, each request must bear its agent's key: name no agent");
  const outcomes = reporterFor(options);
  const port: Port = {
    options,
    sessions: createSessions({ ...options, outcomes }, options.run),
    bytesMax: options.bytesMax ?? 4_194_304,
  };
  const server = createServer((request, response) => {
    answer(port, request, response).catch((error: unknown) => {
      const refused =
        error instanceof Refused
          ? error
          : new Refused(502, codes.unavailable, "the message could not be passed on");
      if (!response.closed) options.onEvent?.({ event: "dropped", message: String(error) });
      sendJson(response, refused.status, errorTo(null, refused.code, refused.message));
    });
  });
  const url = `${await listenOn(server, options.listen)}/mcp`;
  return {
    url,
    close: async () => {
      await Promise.all([closeServer(server), port.sessions.close()]);
      await outcomes.drain(drainMs);
    },
  };
};
