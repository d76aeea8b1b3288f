/** What an upstream answers over HTTP, as JSON or as a stream of events: each message of it goes through the gate. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { eventsOf } from "../llm/events.ts";
import type { Gate } from "./gate.ts";

export type Relay = {
  gate: Gate;
  response: ServerResponse;
  bytesMax: number;
  headers: Record<string, string>;
  /** Answers a request of the server's that is not passed on. */
  answerServer: (message: JsonObject) => Promise<void>;
};

const parse = (text: string): JsonValue | undefined => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what JSON.parse gives
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
};

const readWhole = async (answer: Response, bytesMax: number): Promise<string> => {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error("the server's answer is too long");
    chunks.push(chunk);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes));
};

/** Passes one message on. @throws Error where it is none, or doesn't pass */
const passJson = async (relay: Relay, answer: Response): Promise<void> => {
  const { gate, response, bytesMax, headers } = relay;
  const value = parse(await readWhole(answer, bytesMax));
  const passage = value === undefined ? {} : await gate.fromServer(value);
  if (passage.forward === undefined) throw new Error("the server answered what nobody asked");
  response.writeHead(200, { ...headers, "content-type": "application/json" });
  response.end(JSON.stringify(passage.forward));
};

const isData = (line: string): boolean => /^data(?::|$)/.test(line);

/** An event with what the gate lets through; nothing where nothing of it passes. */
const passEvent = async ({ gate, answerServer }: Relay, event: string): Promise<string | undefined> => {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line !== "");
  const data = lines.filter(isData).map((line) => line.replace(/^data:? ?/, ""));
  const others = lines.filter((line) => /^(?:id|event|retry|)(?::|$)/.test(line));
  // Without data it keeps the connection open, or says where to resume.
  if (data.join("") === "")
    return lines.length === 0 ? undefined : `${[...others, ...data.map(() => "data:")].join("\n")}\n\n`;
  const value = parse(data.join("\n"));
  if (value === undefined) return undefined;
  const { forward, answer } = await gate.fromServer(value);
  if (answer !== undefined) await answerServer(answer);
  return forward === undefined
    ? undefined
    : `${[...others, `data: ${JSON.stringify(forward)}`].join("\n")}\n\n`;
};

const passStream = async (relay: Relay, answer: Response): Promise<void> => {
  const { response, bytesMax, headers } = relay;
  response.writeHead(200, { ...headers, "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.flushHeaders();
  for await (const event of eventsOf(answer.body ?? (async function* () {})(), bytesMax)) {
    const passed = await passEvent(relay, event);
    if (passed === undefined || response.closed) continue;
    if (!response.write(passed)) await Promise.race([once(response, "drain"), once(response, "close")]);
  }
  response.end();
};

/** Passes a successful answer on. @throws Error where it is neither JSON nor a stream of events, or breaks off */
export const relayAnswer = async (relay: Relay, answer: Response): Promise<void> => {
  const type = (answer.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type === "text/event-stream") return passStream(relay, answer);
  if (type === "application/json") return passJson(relay, answer);
  throw new Error(`the server answered \`${type}\``);
};
