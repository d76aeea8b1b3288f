/**
 * `remit/client/llm`: a proxy in front of one LLM provider. An agent points its SDK here and gives its own key; each
 * call is permitted, held, capped and settled, and the provider's key never leaves this process.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "../../kit/json.ts";
import { checkAddress } from "../address.ts";
import { createClient } from "../client.ts";
import { listenOn } from "../listen.ts";
import { createAgents } from "./agents.ts";
import { anthropic } from "./anthropic.ts";
import { type Desk, type LlmProxyOptions, usual } from "./desk.ts";
import { listModels } from "./models.ts";
import { openai } from "./openai.ts";
import { freeCall, headersFor, meteredCall } from "./permitted.ts";
import { invalidRequest, Refusal } from "./refusal.ts";
import { agentOf, readJson } from "./request.ts";
import { createUpstream } from "./upstream.ts";

export type { LlmProxyOptions, ProxyEvent } from "./desk.ts";

export type LlmProxy = {
  /** Where it listens. */
  url: string;
  /** Stops accepting, lets calls end for at most `graceMs`, then cuts and settles them. */
  close: (graceMs?: number) => Promise<void>;
};

const capObligation = "cap_output_tokens";

const send = (
  response: ServerResponse,
  status: number,
  body: JsonObject,
  headers: Record<string, string> = {},
): void => {
  if (response.headersSent || response.closed) {
    response.destroy();
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(status, {
    ...headers,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
};

/** What may stand in a header: reasons come from the PDP, whatever it says. */
const headerText = /^[\x21-\x7e]{1,256}$/;

const refuse = ({ dialect }: Desk, response: ServerResponse, refusal: Refusal): void => {
  const { status, retryAfterSeconds, code } = refusal;
  send(response, status, dialect.errorBody(refusal), {
    ...(headerText.test(code) ? { "remit-reason": code } : {}),
    ...(retryAfterSeconds === undefined
      ? { "x-should-retry": "false" }
      : { "retry-after": String(retryAfterSeconds) }),
    ...(status === 413 ? { connection: "close" } : {}),
  });
};

const targetOf = ({ dialect }: Desk, request: IncomingMessage): { path: string; query: string } => {
  const url = new URL(request.url ?? "/", "http://proxy");
  for (const [name, value] of url.searchParams)
    if (!dialect.query(name, value)) throw invalidRequest(`?${name}`, "is not passed on");
  return { path: url.pathname, query: url.search };
};

const unknownEndpoint = (): Refusal =>
  new Refusal(404, "unknown_endpoint", "this endpoint is not passed on; do not retry");

const answer = async (desk: Desk, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { pathname } = new URL(request.url ?? "/", "http://proxy");
  if (request.method === "GET" && /^\/v1\/models(?:\/[\w.:-]+)?$/.test(pathname)) {
    const agent = await agentOf(desk, request);
    const { upstream, client } = desk;
    await listModels(
      { upstream, client, agent, headers: headersFor(desk, request), response },
      pathname.slice(3),
    );
    return;
  }
  const endpoint = desk.dialect.endpoints.find(({ path }) => pathname === `/v1${path}`);
  if (endpoint === undefined || request.method !== "POST") throw unknownEndpoint();
  const { query } = targetOf(desk, request);
  const agent = await agentOf(desk, request);
  const body = await readJson(request, desk.options.bodyBytesMax ?? usual.bodyBytesMax);
  const call = endpoint.read(body, desk.rules);
  const asked = { endpoint, path: `${endpoint.path}${query}`, request, response };
  await (endpoint.metered ? meteredCall : freeCall)(desk, asked, agent, call);
};

const deskOf = (options: LlmProxyOptions): Desk => {
  const { provider, pdp, allow = [], onEvent } = options;
  const client = createClient({
    baseUrl: pdp.url,
    key: pdp.key,
    timeoutMs: pdp.timeoutMs ?? usual.pdpTimeoutMs,
    supportedObligations: [capObligation],
    ...(pdp.plainHttp === undefined ? {} : { plainHttp: pdp.plainHttp }),
  });
  const upstream = createUpstream(options.upstream, options.silenceMs ?? usual.silenceMs);
  return {
    options,
    client,
    agents: createAgents({
      client,
      watchMs: options.watchMs ?? usual.watchMs,
      runIdleMs: options.runIdleMs ?? usual.runIdleMs,
    }),
    dialect: provider === "openai" ? openai : anthropic,
    upstream,
    rules: {
      outputTokensDefault: options.outputTokensDefault ?? usual.outputTokensDefault,
      imageTokensMax: options.imageTokensMax,
      allow: new Set(allow),
      original: upstream.original,
    },
    running: new Set(),
    settling: new Set(),
    tell: onEvent ?? (() => {}),
  };
};

const stop = async (desk: Desk, server: Server, graceMs: number): Promise<void> => {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const deadline = performance.now() + graceMs;
  while (desk.running.size > 0 && performance.now() < deadline) await sleep(10);
  for (const cut of desk.running) cut.abort("shutdown");
  const settled = performance.now() + 2000;
  while (desk.running.size + desk.settling.size > 0 && performance.now() < settled) await sleep(10);
  server.closeAllConnections();
  desk.agents.close();
  desk.upstream.close();
  await closed;
};

/**
 * Starts a proxy.
 * @throws TypeError for an address that is not safe, Error where it can't listen
 */
export const startLlmProxy = async (options: LlmProxyOptions): Promise<LlmProxy> => {
  checkAddress("upstream", options.upstream, false);
  const desk = deskOf(options);
  const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    answer(desk, request, response)
      .catch((error: unknown) => {
        const isRefusal = error instanceof Refusal;
        desk.tell({
          event: isRefusal ? "refused" : "failed",
          ...(isRefusal ? { reason: error.code } : {}),
          message: error instanceof Error ? error.message : String(error),
        });
        refuse(
          desk,
          response,
          isRefusal ? error : new Refusal(502, "proxy_failed", "the call could not be passed on"),
        );
      })
      // One answer that can't be given ends one connection, and not the proxy.
      .catch(() => response.destroy());
  });
  const url = await listenOn(server, options.listen);
  return { url, close: (graceMs = 5000) => stop(desk, server, graceMs) };
};
