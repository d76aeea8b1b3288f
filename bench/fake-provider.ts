/** A provider for tests and the demonstration: speaks OpenAI's and Anthropic's APIs, streams, calls tools, and keeps the bill. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Seen = {
  path: string;
  headers: IncomingMessage["headers"];
  body: Record<string, unknown>;
  /** The client went away before the answer's end. */
  aborted: boolean;
};

export type FakeProvider = {
  url: string;
  /** Every request that arrived, as it arrived. */
  seen: Seen[];
  /** What all answers so far cost, by the prices given, in micro-USD. */
  billedMicros: () => number;
  close: () => Promise<void>;
};

export type FakeOptions = {
  /** Tokens of each answer, unless the request limits it to fewer. */
  outputTokens?: number;
  /** Text deltas of a stream, and the pause between them. */
  deltas?: number;
  pauseMs?: number;
  /** Micro-USD per million tokens. */
  prices?: { input: number; output: number };
  /** How it counts the input; four bytes a token by default, as English has it. */
  inputTokens?: (body: Record<string, unknown>) => number;
  /** Answers before everything else; `true` where it did. */
  before?: (request: Seen, response: ServerResponse) => boolean;
  /** How many bytes of text each delta has. */
  deltaBytes?: number;
};

type Plan = {
  model: string;
  stream: boolean;
  input: number;
  output: number;
  tool: string | undefined;
  deltas: readonly string[];
  body: Record<string, unknown>;
};

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

const listOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? (value as Record<string, unknown>[]) : [];

const toolOf = ({ tools }: Record<string, unknown>): string | undefined => {
  const [first] = listOf(tools);
  if (first === undefined) return undefined;
  const nested = first["function"] as Record<string, unknown> | undefined;
  return textOf(nested?.["name"] ?? first["name"]);
};

const planOf = (body: Record<string, unknown>, options: FakeOptions): Plan => {
  const limit =
    numberOf(body["max_completion_tokens"]) ??
    numberOf(body["max_tokens"]) ??
    numberOf(body["max_output_tokens"]) ??
    Infinity;
  const text = JSON.stringify(body["messages"] ?? body["input"] ?? "");
  return {
    model: textOf(body["model"]),
    stream: body["stream"] === true,
    input: options.inputTokens?.(body) ?? Math.ceil(text.length / 4),
    output: Math.min(options.outputTokens ?? 20, limit) * (numberOf(body["n"]) ?? 1),
    tool: toolOf(body),
    deltas: Array.from({ length: options.deltas ?? 4 }, (_, n) =>
      `${n} `.padEnd(options.deltaBytes ?? 2, "x"),
    ),
    body,
  };
};

const json = (response: ServerResponse, body: unknown, status = 200): void => {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "x-request-id": "req_fake",
    "request-id": "req_fake",
  });
  response.end(text);
};

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** Writes events at the reader's pace; false once nobody reads. */
const writer =
  (response: ServerResponse, pauseMs: number) =>
  async (event: string): Promise<boolean> => {
    if (response.closed) return false;
    if (!response.write(event))
      await new Promise<void>((resolve) => {
        const go = (): void => {
          response.off("drain", go);
          response.off("close", go);
          resolve();
        };
        response.on("drain", go);
        response.on("close", go);
      });
    if (pauseMs > 0) await pause(pauseMs);
    return !response.closed;
  };

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { type: string }): string => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;

const openaiUsage = ({ input, output }: Plan) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
});

const callArguments = '{"path":"notes.txt"}';

const choice = (delta: unknown, finish_reason: string | null = null): unknown => ({
  index: 0,
  delta,
  finish_reason,
});

function* chatEvents(plan: Plan): Generator<string> {
  const { model, tool } = plan;
  const wantsUsage =
    (plan.body["stream_options"] as { include_usage?: boolean } | undefined)?.include_usage === true;
  const chunk = (choices: unknown[], usage?: unknown): string =>
    data({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model,
      choices,
      ...(wantsUsage ? { usage: usage ?? null } : {}),
    });
  yield chunk([choice({ role: "assistant", content: "" })]);
  if (tool === undefined) for (const content of plan.deltas) yield chunk([choice({ content })]);
  else {
    const call = { index: 0, id: "call_1", type: "function", function: { name: tool, arguments: "" } };
    yield chunk([choice({ tool_calls: [call] })]);
    yield chunk([choice({ tool_calls: [{ index: 0, function: { arguments: callArguments } }] })]);
  }
  yield chunk([choice({}, tool === undefined ? "stop" : "tool_calls")]);
  if (wantsUsage) yield chunk([], openaiUsage(plan));
  yield "data: [DONE]\n\n";
}

const chatBody = (plan: Plan): unknown => {
  const { model, tool, deltas } = plan;
  const message =
    tool === undefined
      ? { role: "assistant", content: deltas.join(""), refusal: null }
      : {
          role: "assistant",
          content: null,
          refusal: null,
          tool_calls: [
            { id: "call_1", type: "function", function: { name: tool, arguments: callArguments } },
          ],
        };
  const choices = [
    { index: 0, message, finish_reason: tool === undefined ? "stop" : "tool_calls", logprobs: null },
  ];
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model,
    choices,
    usage: openaiUsage(plan),
  };
};

const responseBody = (plan: Plan, status: string): Record<string, unknown> => {
  const { model, tool, deltas, input, output } = plan;
  const content = [{ type: "output_text", text: deltas.join(""), annotations: [] }];
  const item =
    tool === undefined
      ? { id: "msg_1", type: "message", role: "assistant", status: "completed", content }
      : {
          id: "fc_1",
          type: "function_call",
          call_id: "call_1",
          name: tool,
          arguments: callArguments,
          status: "completed",
        };
  return {
    id: "resp_1",
    object: "response",
    created_at: 1,
    status,
    model,
    service_tier: "default",
    output: status === "completed" ? [item] : [],
    usage:
      status === "completed"
        ? {
            input_tokens: input,
            output_tokens: output,
            total_tokens: input + output,
            input_tokens_details: { cached_tokens: 0 },
            output_tokens_details: { reasoning_tokens: 0 },
          }
        : null,
  };
};

function* responseEvents(plan: Plan): Generator<string> {
  let sequence_number = 0;
  const event = (type: string, more: object): string =>
    named({ type, ...more, sequence_number: sequence_number++ } as { type: string });
  yield event("response.created", { response: responseBody(plan, "in_progress") });
  const item_id = "msg_1";
  if (plan.tool === undefined) {
    const item = { id: item_id, type: "message", role: "assistant", status: "in_progress", content: [] };
    yield event("response.output_item.added", { output_index: 0, item });
    const part = { type: "output_text", text: "", annotations: [] };
    yield event("response.content_part.added", { item_id, output_index: 0, content_index: 0, part });
    for (const delta of plan.deltas)
      yield event("response.output_text.delta", {
        item_id,
        output_index: 0,
        content_index: 0,
        delta,
        logprobs: [],
      });
  }
  yield event("response.completed", { response: responseBody(plan, "completed") });
}

const anthropicUsage = ({ input, output }: Plan) => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: output,
  service_tier: "standard",
});

const messageBody = (plan: Plan): Record<string, unknown> => {
  const { model, tool, deltas } = plan;
  const block =
    tool === undefined
      ? { type: "text", text: deltas.join("") }
      : { type: "tool_use", id: "toolu_1", name: tool, input: { path: "notes.txt" } };
  return {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model,
    content: [block],
    stop_reason: tool === undefined ? "end_turn" : "tool_use",
    stop_sequence: null,
    usage: anthropicUsage(plan),
  };
};

function* messageEvents(plan: Plan): Generator<string> {
  const { tool } = plan;
  const start = {
    ...messageBody(plan),
    content: [],
    stop_reason: null,
    usage: { ...anthropicUsage(plan), output_tokens: 1 },
  };
  yield named({ type: "message_start", message: start } as { type: string });
  const content_block =
    tool === undefined
      ? { type: "text", text: "" }
      : { type: "tool_use", id: "toolu_1", name: tool, input: {} };
  const block = (type: string, more: object): string =>
    named({ type, index: 0, ...more } as { type: string });
  yield block("content_block_start", { content_block });
  if (tool === undefined)
    for (const text of plan.deltas)
      yield block("content_block_delta", { delta: { type: "text_delta", text } });
  else
    yield block("content_block_delta", { delta: { type: "input_json_delta", partial_json: callArguments } });
  yield block("content_block_stop", {});
  const delta = { stop_reason: tool === undefined ? "end_turn" : "tool_use", stop_sequence: null };
  yield named({ type: "message_delta", delta, usage: { output_tokens: plan.output } } as { type: string });
  yield named({ type: "message_stop" });
}

const embeddingBody = ({ model, input }: Plan, body: Record<string, unknown>): unknown => ({
  object: "list",
  model,
  data: (Array.isArray(body["input"]) ? body["input"] : [body["input"]]).map((_, index) => ({
    object: "embedding",
    index,
    embedding: body["encoding_format"] === "base64" ? Buffer.alloc(16).toString("base64") : [0, 0, 0, 0],
  })),
  usage: { prompt_tokens: input, total_tokens: input },
});

const dialects: Record<
  string,
  { whole: (plan: Plan) => unknown; events: (plan: Plan) => Generator<string> }
> = {
  "/v1/chat/completions": { whole: chatBody, events: chatEvents },
  "/v1/responses": { whole: (plan) => responseBody(plan, "completed"), events: responseEvents },
  "/v1/messages": { whole: messageBody, events: messageEvents },
};

const readBody = async (request: IncomingMessage): Promise<Record<string, unknown>> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
};

/** Starts a provider on a free port of this machine. */
export const startFakeProvider = async (options: FakeOptions = {}): Promise<FakeProvider> => {
  const seen: Seen[] = [];
  const prices = options.prices ?? { input: 150_000, output: 600_000 };
  let billed = 0;
  const bill = ({ input, output }: Plan): void => {
    billed += Math.ceil((input * prices.input + output * prices.output) / 1_000_000);
  };
  const stream = async (plan: Plan, events: Generator<string>, response: ServerResponse): Promise<void> => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = writer(response, options.pauseMs ?? 0);
    for (const event of events) if (!(await write(event))) break;
    bill(plan);
    response.end();
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? "";
    const body = await readBody(request);
    const one: Seen = { path, headers: request.headers, body, aborted: false };
    seen.push(one);
    response.once("close", () => {
      one.aborted = !response.writableFinished;
    });
    if (options.before?.(one, response)) return;
    const plan = planOf(body, options);
    const [bare = ""] = path.split("?");
    const dialect = dialects[bare];
    if (dialect && plan.stream) return stream(plan, dialect.events(plan), response);
    if (dialect) {
      if (options.pauseMs !== undefined) await pause(options.pauseMs);
      bill(plan);
      return json(response, dialect.whole(plan));
    }
    if (bare === "/v1/embeddings") {
      bill({ ...plan, output: 0 });
      return json(response, embeddingBody(plan, body));
    }
    if (bare === "/v1/messages/count_tokens") return json(response, { input_tokens: plan.input });
    if (bare === "/v1/models")
      return json(response, {
        object: "list",
        data: ["small-1", "frontier-1", "unheard-of-9"].map((id) => ({
          id,
          object: "model",
          created: 1,
          owned_by: "x",
        })),
      });
    return json(response, { error: { message: "no such path" } }, 404);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    billedMicros: () => billed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
