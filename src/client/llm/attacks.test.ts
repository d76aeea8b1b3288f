/** Attacks on the proxy: what agents, providers and PDPs might send to get more than is counted, or to break it. */
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { until } from "../../../conformance-tests/service.ts";
import { startFakeProvider } from "../../../bench/fake-provider.ts";
import { startLlmProxy } from "./proxy.ts";
import {
  auditor,
  budgetsYaml,
  checker,
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

const chat = { model: "small-1", messages: [{ role: "user", content: "hello" }] };

type Posted = { status: number; body: Record<string, any> };

const postTo = async (
  url: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Posted> => {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : { text } };
};

const ask = (body: unknown, path = "/v1/chat/completions"): Promise<Posted> =>
  postTo(stage.proxy.url, path, body, { authorization: `Bearer ${stage.key}` });

const settled = (): number => stage.events.filter(({ event }) => event === "settled").length;

const stream = { ...chat, stream: true, max_completion_tokens: 1000 };

/** Opens a stream and reads its first part. */
const openStream = async (key: string): Promise<() => Promise<string>> => {
  const response = await fetch(`${stage.proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(stream),
  });
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  await reader.read();
  return async () => {
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
  };
};

describe("an agent gets nothing for less than it costs:", () => {
  test("an item that only refers to what the provider keeps is refused, whatever it calls itself", async () => {
    await start();
    for (const item of [{ id: "msg_1" }, { id: "msg_1", type: null }, { id: "msg_1", type: 1 }]) {
      const answer = await ask({ model: "small-1", input: [item] }, "/v1/responses");
      expect([item, answer.status]).toEqual([item, 400]);
    }
    const plain = { model: "small-1", input: [{ role: "user", content: "hello" }] };
    expect((await ask(plain, "/v1/responses")).status).toBe(200);
    expect(stage.provider.seen).toHaveLength(1);
  });

  test.each([
    [
      "openai",
      "/v1/responses",
      { model: "small-1", input: "x", reasoning: { mode: "pro" } },
      "reasoning.mode",
    ],
    ["openai", "/v1/responses", { model: "small-1", input: "x", reasoning: { depth: 9 } }, "reasoning.depth"],
    [
      "openai",
      "/v1/chat/completions",
      { ...chat, prompt_cache_options: { ttl: "24h" } },
      "prompt_cache_options.ttl",
    ],
    [
      "anthropic",
      "/v1/messages",
      { ...chat, max_tokens: 1, thinking: { type: "between_tools" } },
      "thinking.type",
    ],
    [
      "anthropic",
      "/v1/messages/count_tokens",
      { ...chat, thinking: { type: "enabled", budget_tokens: 1024, samples: 4 } },
      "thinking.samples",
    ],
  ] as const)(
    "%s: %s with what it doesn't know inside a parameter is refused",
    async (provider, path, body, param) => {
      await start({ proxy: { provider } });
      const answer = await ask(body, path);
      expect(answer.status).toBe(400);
      expect(answer.body["error"].message).toContain(`\`${param}\``);
      expect(stage.provider.seen).toEqual([]);
    },
  );

  test("text inside an image part counts as text", async () => {
    await start({ proxy: { imageTokensMax: 10 }, files: { "policies/budgets.yaml": budgetsYaml(1500) } });
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
    const messages = [{ role: "user", content: [{ ...image, text: "x".repeat(100_000) }] }];
    expect((await ask({ ...chat, messages, max_tokens: 1 })).status).toBe(403);
    expect(stage.provider.seen).toEqual([]);
  });

  test("thinking beyond the output's limit is held too", async () => {
    await start({
      files: { "policies/budgets.yaml": budgetsYaml(3000) },
      proxy: { provider: "anthropic" },
    });
    const body = { ...chat, max_tokens: 10, thinking: { type: "enabled", budget_tokens: 50_000 } };
    expect((await ask(body, "/v1/messages")).status).toBe(403);
    expect(stage.provider.seen).toEqual([]);
  });
});

describe("an agent that a kill covers loses its running stream", () => {
  test.each([
    ["by all agents", { all: true }],
    ["by its parent", { agent: auditor }],
    ["by its parent's owner", { owner: "owner@example.org" }],
  ])("%s, whatever becomes of its hold", async (_what, target) => {
    await start({
      provider: { deltas: 100_000, pauseMs: 20 },
      proxy: { watchMs: 50, beatMs: 60_000 },
    });
    const rest = await openStream(await stage.keyFor(checker));
    await stage.admin("POST", "/v1/kill", { target, reason: "runs wild" });
    expect(await rest()).toContain("agent_stopped");
    await until(() => settled() === 1);
  });
});

describe("a provider that", () => {
  const raw = (text: string): StageOptions => ({
    provider: {
      before: (_request, response) => {
        response.socket!.write(text, () => response.socket?.destroy());
        return true;
      },
    },
  });
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

  test("breaks off after telling usage so far is charged at the most", async () => {
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    const event = `data: ${JSON.stringify({ choices: [{ delta: {} }], usage })}\n\n`;
    await start(raw(`${head}transfer-encoding: chunked\r\n\r\n${event.length.toString(16)}\r\n${event}\r\n`));
    await ask(stream).catch(() => undefined);
    await until(() => settled() === 1);
    // 1000 output tokens at 0.6 each.
    expect((await stage.spent()).used).toBeGreaterThanOrEqual(600);
  });
});

describe("a call whose hold was released under it is charged", () => {
  const prices = (...rows: string[]): string => `prices:\n${rows.map((row) => `  - ${row}\n`).join("")}`;
  const own = "{ provider: example, model: small-1, input: 150000, output: 600000 }";
  const release = async (): Promise<void> => {
    const answer = ask({ ...chat, max_completion_tokens: 1000 });
    await until(() => stage.provider.seen.length === 1);
    await stage.admin("POST", "/v1/kill", { target: { all: true }, holds: "release", reason: "runs wild" });
    await answer;
  };
  const reported = async (): Promise<number> => {
    await until(() => stage.events.some(({ event }) => event === "settled" || event === "unsettled"));
    expect(stage.events.find(({ event }) => event === "settled")).toMatchObject({ reason: "reported" });
    const { usage } = await stage.admin("GET", "/v1/usage?group_by=agent");
    return usage.find((sum: Record<string, any>) => sum["unit"] === "usd_micros").amount;
  };
  const slow: StageOptions = {
    provider: { pauseMs: 1500, outputTokens: 1000, prices: { input: 150_000, output: 600_000 } },
    proxy: { watchMs: 60_000, beatMs: 60_000 },
  };

  test("by the price of the model's own provider, where another has a model of that name", async () => {
    const other = "{ provider: other, model: small-1, input: 1000, output: 2000 }";
    await start({ ...slow, files: { "policies/prices.yaml": prices(own, other) } });
    await release();
    expect(await reported()).toBe(stage.provider.billedMicros());
  });

  test("all that was held, where the model has no price any more", async () => {
    await start({ ...slow, provider: { ...slow.provider, pauseMs: 4000 } });
    const answer = release();
    await until(() => stage.provider.seen.length === 1);
    stage.service.write("policies/prices.yaml", prices("{ model: another, input: 1000, output: 2000 }"));
    await answer;
    expect(await reported()).toBeGreaterThanOrEqual(600);
  });
});

test("a listener that stands still keeps no hold open", async () => {
  await start({
    provider: { deltas: 100_000, deltaBytes: 65_536 },
    proxy: { silenceMs: 300, readOnMs: 60_000 },
  });
  const { hostname, port } = new URL(stage.proxy.url);
  const body = JSON.stringify(stream);
  const socket = connect(Number(port), hostname).pause();
  closers.push(async () => socket.destroy());
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${stage.key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await until(() => settled() === 1 && stage.provider.seen[0]!.aborted);
  expect((await stage.spent()).used).toBeGreaterThanOrEqual(600);
});

describe("a PDP that lies", () => {
  test("with a reason that is no header can't end the proxy", async () => {
    const provider = await startFakeProvider();
    const pdp = createServer((request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const isKey = request.url!.includes("recognise");
      const agent = { agent: { type: "Agent", id: "a", status: "active" } };
      const denial = { decision: false, context: { remit: { reason: "ä\nx: y", message: "no" } } };
      response.end(JSON.stringify(isKey ? agent : denial));
    });
    await new Promise<void>((resolve) => {
      pdp.listen(0, "127.0.0.1", resolve);
    });
    const proxy = await startLlmProxy({
      upstream: provider.url,
      provider: "openai",
      pdp: { url: `http://127.0.0.1:${(pdp.address() as AddressInfo).port}`, timeoutMs: 500 },
      listen: { host: "127.0.0.1", port: 0 },
    });
    closers.push(
      () => proxy.close(0),
      () => provider.close(),
      async () => {
        pdp.close();
        pdp.closeAllConnections();
      },
    );
    for (let n = 0; n < 2; n++) {
      const answer = await postTo(proxy.url, "/v1/chat/completions", chat, { authorization: "Bearer k" });
      expect(answer.status).toBe(403);
    }
    expect(provider.seen).toEqual([]);
  });
});
