/** Reading what an agent sends: who it is, what it asks, and what that is as a question. */
import type { IncomingMessage } from "node:http";
import { isObject, JsonError, type JsonObject, parseJson } from "../../kit/json.ts";
import type { Question } from "../question.ts";
import type { KnownAgent } from "./agents.ts";
import type { Desk } from "./desk.ts";
import type { Call } from "./dialect.ts";
import { invalidRequest, Refusal } from "./refusal.ts";

/** @throws Refusal 401 where it is nobody's key, 503 where nobody can say */
export const agentOf = async ({ agents, dialect }: Desk, request: IncomingMessage): Promise<KnownAgent> => {
  const key = dialect.agentKey(request.headers);
  const unknown = new Refusal(401, "unauthenticated", "this is no agent's key; do not retry");
  if (key === undefined || key.length > 512) throw unknown;
  let agent: KnownAgent | undefined;
  try {
    agent = await agents.recognise(key);
  } catch {
    throw new Refusal(503, "authorization_unavailable", "the key could not be checked; try again later", {
      retryAfterSeconds: 1,
    });
  }
  if (agent === undefined) throw unknown;
  return agent;
};

/** The body as strict JSON. @throws Refusal */
export const readJson = async (request: IncomingMessage, bytesMax: number): Promise<JsonObject> => {
  const tooLarge = new Refusal(413, "payload_too_large", `the request is larger than ${bytesMax} bytes`);
  const type = (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/json" || request.headers["content-encoding"] !== undefined)
    throw new Refusal(400, "unsupported_content_type", "the request must be application/json, unencoded");
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge;
    chunks.push(chunk);
  }
  try {
    const body = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, length)));
    if (isObject(body)) return body;
  } catch (error) {
    const why = error instanceof JsonError ? `${error.field}: ${error.message}` : "not UTF-8";
    throw new Refusal(400, "invalid_json", `the request is not strict JSON: ${why}`);
  }
  throw new Refusal(400, "invalid_request", "the request must be a JSON object");
};

const runHeader = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^[\x21-\x7e]{1,256}$/.test(value))
    throw invalidRequest(name, "must be 1 to 256 visible ASCII characters");
  return value;
};

/** What a call means to the PDP. */
export const questionOf = (
  desk: Desk,
  request: IncomingMessage,
  agent: KnownAgent,
  call: Call,
  dryRun: boolean,
): Question => ({
  subject: { type: agent.type, id: agent.id },
  action: { name: "invoke" },
  resource: { type: "Model", id: call.model },
  remit: {
    run: runHeader(request, "remit-run") ?? desk.agents.run(agent),
    parentRun: runHeader(request, "remit-parent-run"),
    estimate: {
      model: call.model,
      inputTokens: call.inputTokensMax,
      maxOutputTokens: call.outputTokensMax,
    },
    argumentsDigest: call.digest,
    tokens: { agent: agent.key },
    ...(dryRun ? { dryRun } : {}),
  },
});
