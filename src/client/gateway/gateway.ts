/**
 * Answers the question of an API gateway whether a request may pass: nginx `auth_request`, Traefik `forwardAuth`, Envoy's
 * `ext_authz` over HTTP. Whatever goes wrong is 401 or 403: some gateways can be told to let pass what fails otherwise.
 */
import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { digestOf, sha256 } from "../../kit/digest.ts";
import { agentByBearer } from "../bearer.ts";
import type { Client } from "../client.ts";
import type { Denial } from "../decision.ts";
import { closeServer, isLoopback, type Listen, listenOn } from "../listen.ts";
import type { Question } from "../question.ts";
import { type Original, readOriginal } from "./original.ts";

export type GatewayOptions = {
  client: Client;
  /** Beyond this machine it needs `gatewayKey`. */
  listen: Listen;
  /** What the gateway sends as `Remit-Gateway-Key`, to be told from others. */
  gatewayKey?: string | undefined;
  /** The header in which the gateway says which agent acts. Without it, requests bear their agent's key. */
  agentHeader?: string | undefined;
  /** The type of resources in questions; `route` by default. */
  resourceType?: string | undefined;
  onEvent?: ((event: GatewayEvent) => void) | undefined;
};

/** What an operator may want to read in a log. */
export type GatewayEvent = {
  event: "denied" | "unavailable" | "refused";
  action?: string;
  resource?: string;
  reason: string;
};

export type Gateway = {
  /** Its origin: gateways ask below it, at `/nginx`, `/traefik` and `/envoy`. */
  url: string;
  close: () => Promise<void>;
};

type Answer = { status: 200 | 401 | 403 | 404; headers?: Record<string, string> };
type Agent = { type: string; id: string; key?: string };

const idPattern = /^[\x21-\x7e]{1,512}$/;

const textOf = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name];
  return typeof value === "string" && idPattern.test(value) ? value : undefined;
};

const refused = (reason: string): Answer => ({ status: 403, headers: { "Remit-Reason": reason } });

const isGateway = ({ gatewayKey }: GatewayOptions, request: IncomingMessage): boolean =>
  gatewayKey === undefined ||
  timingSafeEqual(sha256(textOf(request, "remit-gateway-key") ?? ""), sha256(gatewayKey));

const agentOf = async (
  { client, agentHeader }: GatewayOptions,
  request: IncomingMessage,
): Promise<Agent | "unknown" | "unavailable"> => {
  if (agentHeader === undefined) return agentByBearer(client, request.headers.authorization);
  const id = textOf(request, agentHeader.toLowerCase());
  return id === undefined ? "unknown" : { type: "Agent", id };
};

const questionOf = (
  { resourceType = "route" }: GatewayOptions,
  { method, host, path, query }: Original,
  { type, id, key }: Agent,
  run: string | undefined,
): Question => ({
  subject: { type, id },
  action: { name: method },
  resource: { type: resourceType, id: `${host}${path}`, properties: { host, path } },
  remit: {
    run,
    // The query may hold anything: it tells two requests apart, and is not told itself.
    argumentsDigest: digestOf({ method, host, path, query }),
    ...(key === undefined ? {} : { tokens: { agent: key } }),
  },
});

/** What can stand in a header; the text of a policy may hold anything. */
const headerText = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 512);

const denied = ({ reason, message, source, decisionId, retryAfterMs }: Denial): Answer => ({
  status: 403,
  headers: {
    "Remit-Reason": headerText(source === "pdp" ? reason : "authorization_unavailable"),
    ...(source === "pdp" ? { "Remit-Message": headerText(message) } : {}),
    ...(decisionId === undefined ? {} : { "Remit-Decision": headerText(decisionId) }),
    ...(retryAfterMs === undefined ? {} : { "Retry-After": String(Math.ceil(retryAfterMs / 1000)) }),
  },
});

const judge = async (options: GatewayOptions, request: IncomingMessage): Promise<Answer> => {
  const { client, onEvent = () => {} } = options;
  if (!isGateway(options, request)) {
    onEvent({ event: "refused", reason: "no_gateway" });
    return refused("no_gateway");
  }
  const original = readOriginal({
    method: request.method ?? "",
    url: request.url ?? "",
    headers: request.headers,
  });
  if (original === undefined) return { status: 404 };
  if ("fault" in original) {
    onEvent({ event: "refused", reason: original.fault });
    return {
      status: 403,
      headers: { "Remit-Reason": "unreadable_request", "Remit-Message": original.fault },
    };
  }
  const agent = await agentOf(options, request);
  if (agent === "unavailable") return refused("authorization_unavailable");
  if (agent === "unknown")
    return {
      status: 401,
      headers: { "WWW-Authenticate": 'Bearer realm="remit"', "Remit-Reason": "no_agent" },
    };
  const question = questionOf(options, original, agent, textOf(request, "remit-run"));
  const grant = await client.open(question);
  if (!grant.decision) {
    const { source, reason } = grant;
    const [action, resource] = [question.action.name, question.resource.id];
    onEvent({ event: source === "pdp" ? "denied" : "unavailable", action, resource, reason });
    return denied(grant);
  }
  // Nobody will say how the request ended, so what was reserved is charged now.
  await grant.finish();
  const { decisionId } = grant.permit;
  return {
    status: 200,
    headers: decisionId === undefined ? {} : { "Remit-Decision": headerText(decisionId) },
  };
};

const send = (response: ServerResponse, { status, headers = {} }: Answer): void => {
  if (response.headersSent || response.closed) response.destroy();
  else response.writeHead(status, { ...headers, "Cache-Control": "no-store", "Content-Length": "0" }).end();
};

/**
 * Starts answering.
 * @throws TypeError where others than the gateway could ask, or say who acts
 * @throws Error where it can't listen
 */
export const startGateway = async (options: GatewayOptions): Promise<Gateway> => {
  const { listen, gatewayKey, agentHeader } = options;
  if (gatewayKey === undefined && !isLoopback(listen.host))
    throw new TypeError("beyond this machine, the gateway must show a key of its own");
  if (agentHeader !== undefined && gatewayKey === undefined)
    throw new TypeError("who says in a header which agent acts must show a gateway's key");
  if (agentHeader !== undefined && !/^[\w-]{1,64}$/.test(agentHeader))
    throw new TypeError("the agent's header has no name of a header");
  const server = createServer((request, response) => {
    // Envoy may send the body along.
    request.resume();
    judge(options, request).then(
      (answer) => send(response, answer),
      () => send(response, refused("authorization_unavailable")),
    );
  });
  const url = await listenOn(server, listen);
  return { url, close: () => closeServer(server) };
};
