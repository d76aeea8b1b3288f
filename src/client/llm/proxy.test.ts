/** What the proxy does when things go wrong: budgets that end, agents that are stopped, clients that leave, providers and PDPs that fail or lie. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
import { afterEach, describe, expect, test } from "vitest";
import { until } from "../../../conformance-tests/service.ts";
import { startFakeProvider } from "../../../bench/fake-provider.ts";
import { type LlmProxy, startLlmProxy } from "./proxy.ts";
import {
  auditor,
  budgetsYaml,
  checker,
  providerKey,
  type Stage,
  type StageOptions,
  startStage,
} from "./stage.test-parts.ts";

let stage: Stage;
let started: Stage | undefined;
const start = async (options: StageOptions = {}): Promise<Stage> =>
  (stage = started = await startStage(options));
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await started?.close();
  started = undefined;
});

type Posted = { status: number; headers: Headers; body: Record<string, any> };

const chat = { model: "small-1", messages: [{ role: "user", content: "hello" }] };

const postTo = async (
  proxy: { url: string },
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Posted> => {
  const response = await fetch(`${proxy.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text.startsWith("{") ? JSON.parse(text) : { text },
  };
};
const ask = (
  body: unknown,
  headers: Record<string, string> = {},
  path = "/v1/chat/completions",
): Promise<Posted> => postTo(stage.proxy, path, body, { authorization: `Bearer ${stage.key}`, ...headers });

const openStream = async (body: object = {}, key = stage.key) => {
  const leave = new AbortController();
  const response = await fetch(`${stage.proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ ...chat, stream: true, max_completion_tokens: 1000, ...body }),
    signal: leave.signal,
  });
  return { response, leave, reader: response.body!.getReader() };
};

const readAll = async (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> => {
  let text = "";
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
};

const settledCount = (): number => stage.events.filter(({ event }) => event === "settled").length;

describe("a budget", () => {
  test("that is used up stops the OpenAI SDK at once, in words that a model understands, and without a retry", async () => {
    await start({
      files: { "policies/budgets.yaml": budgetsYaml(9000) },
      provider: { outputTokens: 1_000_000, prices: { input: 150_000, output: 600_000 } },
    });
    const openai = new OpenAI({ baseURL: `${stage.proxy.url}/v1`, apiKey: stage.key });
    const loop = async (): Promise<unknown> => {
      for (;;)
        await openai.chat.completions.create({
          model: "small-1",
          max_completion_tokens: 3000,
          messages: [{ role: "user", content: "again" }],
        });
    };
    const error = await loop().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect((error as InstanceType<typeof OpenAI.APIError>).code).toBe("budget_exhausted");
    expect((error as Error).message).toMatch(/exhausted.*do not retry before \d{4}-/);
    // The last of them was capped to what the budget could still buy.
    const limits = stage.provider.seen.map(({ body }) => Number(body["max_completion_tokens"]));
    expect(limits.at(-1)).toBeLessThan(3000);
    expect(stage.provider.billedMicros()).toBeLessThanOrEqual(9000);
    const { used, held } = await stage.spent();
    expect({ used, held }).toEqual({ used: stage.provider.billedMicros(), held: 0 });
    const refused = stage.events.filter(({ event }) => event === "refused");
    expect(refused).toHaveLength(1);
  });

  test("holds against fifty calls at once: what is billed never passes it", async () => {
    await start({
      files: { "policies/budgets.yaml": budgetsYaml(20_000) },
      provider: { outputTokens: 2000, pauseMs: 20 },
    });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        ask({ ...chat, max_completion_tokens: 2000 }, { "remit-run": `copy-${n}` }),
      ),
    );
    const statuses = new Set(answers.map(({ status }) => status));
    expect([...statuses].every((status) => [200, 403, 429].includes(status))).toBe(true);
    const held = answers.find(({ status }) => status === 429)!;
    expect(held.body["error"]).toMatchObject({ code: "budget_held", type: "rate_limit_error" });
    expect(held.headers.get("retry-after")).toBe("5");
    expect(held.headers.get("x-should-retry")).toBeNull();
    expect(stage.provider.billedMicros()).toBeLessThanOrEqual(20_000);
    expect(await stage.spent()).toEqual({ used: stage.provider.billedMicros(), held: 0 });
  });

  test("caps each of several choices, and all together are held", async () => {
    await start({
      files: { "policies/budgets.yaml": budgetsYaml(1500) },
      provider: { outputTokens: 1_000_000 },
    });
    const answer = await ask({ ...chat, n: 4, max_completion_tokens: 1000 });
    expect(answer.status).toBe(200);
    const sent = Number(stage.provider.seen[0]!.body["max_completion_tokens"]);
    expect(sent).toBeGreaterThan(100);
    expect(sent * 4 * 0.6).toBeLessThan(1500);
    expect((await stage.spent()).used).toBeLessThanOrEqual(1500);
  });

  test("that buys too little to think leaves the call unsent, and holds nothing", async () => {
    await start({
      files: { "policies/budgets.yaml": budgetsYaml(1000) },
      proxy: { provider: "anthropic" },
    });
    const body = { ...chat, max_tokens: 9000, thinking: { type: "enabled", budget_tokens: 8000 } };
    const answer = await ask(body, {}, "/v1/messages");
    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject({
      type: "error",
      error: { type: "permission_error", code: "budget_exhausted" },
    });
    expect(stage.provider.seen).toHaveLength(0);
    await until(async () => (await stage.spent()).held === 0);
    expect((await stage.spent()).used).toBe(0);
  });
});

describe("an agent that is stopped", () => {
  test("loses its running stream within a moment, which is settled at the most it could cost", async () => {
    await start({ provider: { deltas: 100_000, pauseMs: 20 }, proxy: { watchMs: 50, beatMs: 60_000 } });
    const { reader } = await openStream();
    await reader.read();
    await stage.admin("POST", `/v1/agents/${encodeURIComponent(auditor)}/suspend`, { reason: "runs wild" });
    const rest = await readAll(reader);
    expect(rest).toContain("agent_stopped");
    await until(() => settledCount() === 1 && stage.provider.seen[0]!.aborted);
    const answer = await ask(chat);
    expect(answer.status).toBe(403);
    expect(stage.provider.seen).toHaveLength(1);
    // 1000 output tokens at 0.6 each, and the bound of the input.
    const { usage } = await stage.admin("GET", "/v1/usage?group_by=agent");
    const micros = usage.find((sum: Record<string, any>) => sum["unit"] === "usd_micros").amount;
    expect(micros).toBeGreaterThanOrEqual(600);
  });

  test("through its parent loses it too, by its frozen hold", async () => {
    await start({ provider: { deltas: 100_000, pauseMs: 20 }, proxy: { watchMs: 60_000, beatMs: 50 } });
    const { reader } = await openStream({}, await stage.keyFor(checker));
    await reader.read();
    await stage.admin("POST", "/v1/kill", { target: { agent: auditor }, reason: "runs wild" });
    expect(await readAll(reader)).toContain("hold_closed");
    await until(() => settledCount() === 1);
  });

  test("with its hold released is charged all the same", async () => {
    await start({ provider: { deltas: 100_000, pauseMs: 20 }, proxy: { beatMs: 50 } });
    const { reader } = await openStream();
    await reader.read();
    await stage.admin("POST", "/v1/kill", { target: { all: true }, holds: "release", reason: "runs wild" });
    expect(await readAll(reader)).toContain("hold_closed");
    await until(() => stage.events.some(({ event, reason }) => event === "settled" && reason === "reported"));
    const { usage } = await stage.admin("GET", "/v1/usage?group_by=agent");
    expect(
      usage.find((sum: Record<string, any>) => sum["unit"] === "usd_micros").amount,
    ).toBeGreaterThanOrEqual(600);
  });
});

describe("a client that leaves", () => {
  test("in a short stream is charged exactly what the provider says", async () => {
    await start({ provider: { deltas: 20, pauseMs: 10 } });
    const { reader, leave } = await openStream();
    await reader.read();
    leave.abort();
    await until(() => settledCount() === 1);
    expect(stage.provider.seen[0]!.aborted).toBe(false);
    expect(await stage.spent()).toEqual({ used: stage.provider.billedMicros(), held: 0 });
  });

  test("in a long one ends it at the provider too, and is charged all that was held", async () => {
    await start({ provider: { deltas: 100_000, pauseMs: 10 }, proxy: { readOnMs: 50 } });
    const { reader, leave } = await openStream();
    await reader.read();
    leave.abort();
    await until(() => settledCount() === 1 && stage.provider.seen[0]!.aborted);
    const { used, held } = await stage.spent();
    expect(held).toBe(0);
    expect(used).toBeGreaterThanOrEqual(600);
  });

  test("before a whole answer came is charged what came", async () => {
    await start({ provider: { pauseMs: 150 } });
    const leave = new AbortController();
    const gone = fetch(`${stage.proxy.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${stage.key}` },
      body: JSON.stringify(chat),
      signal: leave.signal,
    }).catch(() => "left");
    await until(() => stage.provider.seen.length === 1);
    leave.abort();
    expect(await gone).toBe("left");
    await until(() => settledCount() === 1);
    expect(await stage.spent()).toEqual({ used: stage.provider.billedMicros(), held: 0 });
  });

  test("to its own pace is sent no more than it reads, and nothing piles up on the way", async () => {
    let sent = 0;
    await start({
      provider: {
        before: (_request, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          const event = `data: ${JSON.stringify({ choices: [{ delta: { content: "x".repeat(60_000) } }] })}\n\n`;
          const more = (): void => {
            while (!response.closed && sent < 400_000_000) {
              sent += event.length;
              if (!response.write(event)) return void response.once("drain", more);
            }
            response.end("data: [DONE]\n\n");
          };
          more();
          return true;
        },
      },
    });
    const before = process.memoryUsage().rss;
    const { reader } = await openStream();
    await reader.read();
    let last = -1;
    // Until what the sockets' buffers hold has stopped to grow.
    while (last !== sent) {
      last = sent;
      await sleep(200);
    }
    expect(sent).toBeLessThan(20_000_000);
    let received = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read())
      received += part.value.length;
    expect(received).toBeGreaterThan(390_000_000);
    // What piled up would be all of it; how much garbage waits to be collected is the version of Node's own affair.
    expect(process.memoryUsage().rss - before).toBeLessThan(250_000_000);
  });
});

describe("a provider that", () => {
  const failing = (status: number, headers: Record<string, string> = {}): StageOptions => ({
    provider: {
      before: (_request, response) => {
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(JSON.stringify({ error: { message: `for ${providerKey}` } }));
        return true;
      },
    },
    proxy: { retries: 0 },
  });

  test.each([
    [429, 429, 0],
    [400, 400, 0],
    [529, 529, 0],
    [500, 500, "all"],
  ])("answers %i is passed on as %i, and charged %s", async (status, answered, charged) => {
    await start(failing(status));
    expect((await ask(chat)).status).toBe(answered);
    await until(() => settledCount() === 1);
    const { used, held } = await stage.spent();
    expect(held).toBe(0);
    expect(used > 0).toBe(charged === "all");
  });

  test.each([401, 403, 302])("answers %i shows nothing of its account", async (status) => {
    await start(failing(status, { location: "http://127.0.0.1:1/" }));
    const answer = await ask(chat);
    expect(answer.status).toBe(502);
    expect(JSON.stringify(answer.body)).not.toContain(providerKey);
    expect(stage.provider.seen).toHaveLength(1);
  });

  test("is overloaded is asked again under the same hold", async () => {
    let failures = 1;
    await start({
      provider: {
        before: (_request, response) => {
          if (failures-- <= 0) return false;
          response.writeHead(503, { "retry-after": "0" }).end();
          return true;
        },
      },
    });
    expect((await ask(chat)).status).toBe(200);
    expect(stage.provider.seen).toHaveLength(2);
    expect(settledCount()).toBe(1);
    expect(await stage.spent()).toEqual({ used: stage.provider.billedMicros(), held: 0 });
  });

  test("breaks off a stream breaks it off for the agent too, and all that was held is charged", async () => {
    await start({
      provider: {
        before: (_request, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.write("data: {}\n\n", () => response.destroy());
          return true;
        },
      },
    });
    const { reader } = await openStream();
    await expect(readAll(reader)).rejects.toThrow();
    await until(() => settledCount() === 1);
    expect((await stage.spent()).used).toBeGreaterThanOrEqual(600);
  });

  test.each([
    ["no usage", {}],
    [
      "usage of unknown parts",
      { usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, surprise: 9 } },
    ],
    [
      "another tier",
      { service_tier: "priority", usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
    ],
  ])("tells %s is charged at the most", async (_what, answer) => {
    await start({
      provider: {
        before: (_request, response) => {
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
          return true;
        },
      },
    });
    expect((await ask({ ...chat, max_tokens: 1000 })).status).toBe(200);
    expect((await stage.spent()).used).toBeGreaterThanOrEqual(600);
  });

  test("is not there costs nothing", async () => {
    await start({ proxy: { upstream: "http://127.0.0.1:1" } });
    const answer = await ask(chat);
    expect(answer.status).toBe(502);
    await until(() => settledCount() === 1);
    expect(await stage.spent()).toEqual({ used: 0, held: 0 });
  });
});

describe("what isn't known is refused, and never sent:", () => {
  const image = {
    role: "user",
    content: [{ type: "image_url", image_url: { url: "https://example.org/a.png" } }],
  };
  const chats: [string, object][] = [
    ["service_tier", { ...chat, service_tier: "priority" }],
    ["web_search_options", { ...chat, web_search_options: {} }],
    ["store", { ...chat, store: true }],
    ["prediction", { ...chat, prediction: { type: "content", content: "x" } }],
    ["modalities", { ...chat, modalities: ["text", "audio"] }],
    ["messages.audio", { ...chat, messages: [{ role: "assistant", audio: { id: "audio_1" } }] }],
    ["content.image_url", { ...chat, messages: [image] }],
    [
      "content.file",
      { ...chat, messages: [{ role: "user", content: [{ type: "file", file: { file_id: "f" } }] }] },
    ],
    ["something_new", { ...chat, something_new: 1 }],
  ];
  const responses: [string, object][] = [
    ["background", { model: "small-1", input: "x", background: true }],
    ["previous_response_id", { model: "small-1", input: "x", previous_response_id: "resp_1" }],
    ["conversation", { model: "small-1", input: "x", conversation: "conv_1" }],
    ["prompt", { model: "small-1", prompt: { id: "pmpt_1" } }],
    ["tools.web_search", { model: "small-1", input: "x", tools: [{ type: "web_search" }] }],
    [
      "tools.mcp",
      { model: "small-1", input: "x", tools: [{ type: "mcp", server_url: "https://x.example" }] },
    ],
    ["input.item_reference", { model: "small-1", input: [{ type: "item_reference", id: "msg_1" }] }],
    ["input.reasoning", { model: "small-1", input: [{ type: "reasoning", id: "rs_1", summary: [] }] }],
  ];

  test("parameters of OpenAI's APIs", async () => {
    await start();
    for (const [path, cases] of [
      ["/v1/chat/completions", chats],
      ["/v1/responses", responses],
    ] as const)
      for (const [param, body] of cases) {
        const answer = await ask(body, {}, path);
        expect([param, answer.status, answer.body["error"]?.param]).toEqual([param, 400, param]);
        expect(answer.headers.get("x-should-retry")).toBe("false");
      }
    for (const path of ["/v1/completions", "/v1/files", "/v1/chat/completions/x", "/v1/messages", "/"])
      expect([path, (await ask(chat, {}, path)).status]).toEqual([path, 404]);
    expect((await ask(chat, {}, "/v1/chat/completions?api-version=1")).status).toBe(400);
    expect((await ask('{"model":"small-1","model":"frontier-1"}')).status).toBe(400);
    expect((await ask({ ...chat, n: 0.5 })).status).toBe(400);
    expect((await ask({ ...chat, max_tokens: -1 })).status).toBe(400);
    expect(stage.provider.seen).toEqual([]);
  });

  test("unless the operator allows it; images count as said, whatever their bytes", async () => {
    await start({ proxy: { allow: ["service_tier", "tools.web_search"], imageTokensMax: 1000 } });
    expect((await ask({ ...chat, service_tier: "flex" })).status).toBe(200);
    const url = `data:image/png;base64,${"A".repeat(100_000)}`;
    const pictured = {
      ...chat,
      max_tokens: 1,
      messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }],
    };
    const before = await stage.spent();
    expect((await ask(pictured)).status).toBe(200);
    const holds = stage.events.filter(({ event }) => event === "settled");
    expect(holds).toHaveLength(2);
    expect((await stage.spent()).used).toBeGreaterThan(before.used);
  });

  test("headers that choose an account, or carry what nobody asked for", async () => {
    await start();
    await ask(chat, {
      "openai-organization": "org-other",
      "openai-project": "p",
      cookie: "a=b",
      "x-forwarded-for": "1.2.3.4",
    });
    const names = Object.keys(stage.provider.seen[0]!.headers).sort();
    expect(names).toEqual([
      "accept",
      "accept-encoding",
      "authorization",
      "connection",
      "content-length",
      "content-type",
      "host",
      "user-agent",
    ]);
  });
});

describe("a run", () => {
  test("is the one that the agent names, else one for as long as it keeps calling", async () => {
    await start({ proxy: { runIdleMs: 60_000 } });
    const runOf = async (headers: Record<string, string> = {}): Promise<string | null> =>
      (await ask(chat, headers)).headers.get("remit-run");
    expect(await runOf({ "remit-run": "night-1" })).toBe("night-1");
    const first = await runOf();
    expect(first).toMatch(/^proxy-/);
    expect(await runOf()).toBe(first);
    expect((await ask(chat, { "remit-run": "a b" })).status).toBe(400);
  });

  test("of another name for each call gets an agent no further than so many runs", async () => {
    const runaway = "runaway: { mode: enforce, run: { calls: 2 }, agent: { runs: 3, within: 1h } }\n";
    await start({ files: { "policies/budgets.yaml": budgetsYaml(5_000_000, runaway) } });
    const statuses: number[] = [];
    let last: Posted | undefined;
    for (const run of ["1", "2", "3", "4", "4", "3", "3"]) {
      last = await ask({ ...chat, max_completion_tokens: 5 }, { "remit-run": run });
      statuses.push(last.status);
    }
    expect(statuses).toEqual([200, 200, 200, 403, 403, 200, 403]);
    expect(last!.body["error"]).toMatchObject({ code: "runaway_limit" });
  });

  test("that goes in circles is found out, however long its conversation grows", async () => {
    const runaway = "runaway: { mode: enforce, loop: { repeats: 4, within: 5m } }\n";
    await start({ files: { "policies/budgets.yaml": budgetsYaml(5_000_000, runaway) } });
    const messages: object[] = [{ role: "user", content: "read the notes" }];
    const statuses = [];
    let last: Posted | undefined;
    for (let n = 0; n < 6 && (last === undefined || last.status === 200); n++) {
      messages.push(
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: `call_${n}`, type: "function", function: { name: "read", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: `call_${n}`, content: "the notes" },
      );
      last = await ask({ ...chat, messages });
      statuses.push(last.status);
    }
    expect(statuses).toEqual([200, 200, 200, 403]);
    expect(last!.body["error"]).toMatchObject({ code: "loop_detected" });
  });
});

describe("0 calls reach the provider where the PDP", () => {
  const permit = (remit: object): string => JSON.stringify({ decision: true, context: { remit } });
  const agent = JSON.stringify({ agent: { type: "Agent", id: "a", status: "active" } });
  const liar =
    (evaluation: RequestListener): RequestListener =>
    (request, response) => {
      if (!request.url!.includes("recognise")) return evaluation(request, response);
      response.writeHead(200, { "content-type": "application/json" }).end(agent);
    };
  const saying = (text: string, status = 200, type = "application/json"): RequestListener =>
    liar((_request, response) => {
      response.writeHead(status, { "content-type": type }).end(text);
    });
  const faults: [string, RequestListener | undefined, number][] = [
    ["is down", undefined, 503],
    ["is silent", () => {}, 503],
    ["is silent when asked", liar(() => {}), 503],
    ["fails", saying('{"decision":true}', 500), 503],
    ["redirects", liar((_request, response) => void response.writeHead(307, { location: "/" }).end()), 503],
    ["answers no JSON", saying("yes", 200, "text/plain"), 503],
    ["answers half of it", saying('{"decision":tr'), 503],
    ["says yes in a string", saying('{"decision":"true"}'), 503],
    ["permits without a hold", saying('{"decision":true}'), 503],
    [
      "holds less than was asked",
      saying(permit({ hold: { id: "h", amounts: { input_tokens: 1, output_tokens: 1 } } })),
      503,
    ],
    ["holds no tokens", saying(permit({ hold: { id: "h", amounts: { usd_micros: 1 } } })), 503],
    [
      "demands what nobody knows",
      saying('{"decision":true,"context":{"obligations":[{"type":"dance"}]}}'),
      503,
    ],
    ["denies", saying('{"decision":false}'), 403],
  ];

  test.each(faults)("%s", async (_what, listener, status) => {
    const provider = await startFakeProvider();
    const server = createServer(listener);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    if (listener === undefined) await new Promise((resolve) => server.close(resolve));
    const proxy: LlmProxy = await startLlmProxy({
      upstream: provider.url,
      provider: "openai",
      pdp: { url: `http://127.0.0.1:${port}`, timeoutMs: 300 },
      listen: { host: "127.0.0.1", port: 0 },
    });
    closers.push(
      () => proxy.close(0),
      () => provider.close(),
      async () => {
        server.close();
        server.closeAllConnections();
      },
    );
    const answer = await postTo(proxy, "/v1/chat/completions", chat, { authorization: "Bearer k" });
    expect(answer.status).toBe(status);
    expect(answer.body["error"].message).toBeTypeOf("string");
    expect(provider.seen).toEqual([]);
  });
});

describe("the proxy itself", () => {
  test("takes no upstream that others could read", async () => {
    const options = {
      upstream: "http://llm.example",
      provider: "openai",
      pdp: { url: "http://127.0.0.1:1" },
      listen: { host: "127.0.0.1", port: 0 },
    } as const;
    await expect(startLlmProxy(options)).rejects.toThrow(/https/);
  });

  test("ends what runs when it stops, and settles it", async () => {
    await start({ provider: { deltas: 100_000, pauseMs: 20 } });
    const anthropic = new Anthropic({ baseURL: stage.proxy.url, apiKey: stage.key });
    expect(anthropic).toBeDefined();
    const { reader } = await openStream();
    await reader.read();
    const rest = readAll(reader);
    await stage.proxy.close(0);
    expect(await rest).toContain("the proxy is stopping");
    expect(settledCount()).toBe(1);
    expect((await stage.spent()).held).toBe(0);
  });
});
