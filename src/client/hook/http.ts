/**
 * The hook of a coding agent as an HTTP endpoint, `/hooks/claude-code`: the same answers as the command's. The host takes any
 * status but success for a hook that has nothing against the call, so what goes wrong is a success that blocks.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { JsonObject } from "../../kit/json.ts";
import { agentByBearer } from "../bearer.ts";
import type { GateOptions } from "../mcp/desk.ts";
import { closeServer, isLoopback, type Listen, listenOn } from "../listen.ts";
import { answerClaudeCode, type HookAnswer, type HookOptions } from "./claude-code.ts";

export type HookHttpOptions = Omit<HookOptions, "agent"> & {
  /** Who acts, whoever asks. Without it each request bears the key of its agent as a bearer token. */
  agent?: GateOptions["agent"] | undefined;
  listen: Listen;
  /** An event that has no answer by then blocks its call; 5000 by default. */
  deadlineMs?: number | undefined;
};

export type HookHttp = {
  /** The address for the host's settings. */
  url: string;
  close: () => Promise<void>;
};

const path = "/hooks/claude-code";
const eventBytesMax = 16_777_216;
const usualDeadlineMs = 5000;

/** Blocks a call before it, and tells the model after it. */
const blocking = (reason: string): JsonObject => ({
  decision: "block",
  reason,
  hookSpecificOutput: {
    hookEventName: "PreToolUse",
    permissionDecision: "deny",
    permissionDecisionReason: reason,
  },
});

const failed = (why: string): JsonObject => blocking(`remit: ${why}; the call is blocked, do not retry it`);

const bodyOf = ({ exitCode, stdout, stderr }: HookAnswer): JsonObject =>
  exitCode === 0 ? (stdout ?? {}) : blocking(stderr ?? "remit: the call is blocked");

const readEvent = async (request: IncomingMessage): Promise<string | undefined> => {
  const type = (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/json" || request.headers["content-encoding"] !== undefined) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > eventBytesMax) return undefined;
    chunks.push(chunk);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes));
};

const answer = async (options: HookHttpOptions, request: IncomingMessage): Promise<JsonObject> => {
  // Web pages have no business here.
  if (request.headers.origin !== undefined) return failed("web pages are refused");
  if (request.method !== "POST" || request.url !== path) return failed(`events are posted to \`${path}\``);
  const agent = options.agent ?? (await agentByBearer(options.client, request.headers.authorization));
  if (agent === "unknown") return failed("the request bears no agent's key");
  if (agent === "unavailable") return failed("the agent's key could not be checked");
  const event = await readEvent(request);
  if (event === undefined) return failed("the event is no unencoded JSON, or too long");
  return bodyOf(await answerClaudeCode(event, { ...options, agent }));
};

const send = (response: ServerResponse, body: JsonObject): void => {
  if (response.headersSent || response.closed) return;
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
};

/**
 * Starts the endpoint.
 * @throws TypeError where anyone in the network would act as one agent
 * @throws Error where it can't listen
 */
export const startHookHttp = async (options: HookHttpOptions): Promise<HookHttp> => {
  const { agent, listen, deadlineMs = usualDeadlineMs } = options;
  if (agent !== undefined && !isLoopback(listen.host))
    throw new TypeError("beyond this machine, each request must bear its agent's key: name no agent");
  const server = createServer((request, response) => {
    const late = setTimeout(
      () => send(response, failed(`there was no answer within ${deadlineMs} ms`)),
      deadlineMs,
    );
    response.once("close", () => clearTimeout(late));
    answer(options, request).then(
      (body) => send(response, body),
      () => send(response, failed("the hook failed")),
    );
  });
  const origin = await listenOn(server, listen);
  return { url: `${origin}${path}`, close: () => closeServer(server) };
};
