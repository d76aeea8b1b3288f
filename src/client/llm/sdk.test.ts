/** The real SDKs of OpenAI and Anthropic through the proxy, against a provider on this machine and a real service. */
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditor, providerKey, type Stage, startStage } from "./stage.test-parts.ts";

const tool = {
  type: "function",
  function: { name: "read_file", description: "reads", parameters: { type: "object", properties: {} } },
} as const;

describe("the OpenAI SDK", () => {
  let stage: Stage;
  let openai: OpenAI;
  beforeAll(async () => {
    stage = await startStage();
    openai = new OpenAI({ baseURL: `${stage.proxy.url}/v1`, apiKey: stage.key });
  });
  afterAll(() => stage.close());
  const messages = [{ role: "user", content: "What is the title of the page?" }] as const;

  const charged = async (act: () => Promise<unknown>): Promise<number> => {
    const before = await stage.spent();
    await act();
    const after = await stage.spent();
    expect(after.held).toBe(0);
    return after.used - before.used;
  };
  const lastSeen = () => stage.provider.seen.at(-1)!;

  test("completes a chat, which costs what the provider says and no more", async () => {
    const billed = stage.provider.billedMicros();
    const cost = await charged(async () => {
      const { data, response } = await openai.chat.completions
        .create({ model: "small-1", messages: [...messages] })
        .withResponse();
      expect(data.choices[0]!.message.content).toBe("0 1 2 3 ");
      expect(data.usage!.completion_tokens).toBe(20);
      expect(response.headers.get("remit-decision")).toMatch(/^[0-9a-f-]{36}$/);
    });
    expect(cost).toBe(stage.provider.billedMicros() - billed);
    expect(cost).toBeGreaterThan(0);
  });

  test("gets a limit on its output that it didn't set, and the provider's key never meets the agent's", async () => {
    await openai.chat.completions.create({ model: "small-1", messages: [...messages] });
    const { headers, body } = lastSeen();
    expect(body["max_tokens"]).toBe(4096);
    expect(headers.authorization).toBe(`Bearer ${providerKey}`);
    expect(JSON.stringify(stage.provider.seen)).not.toContain(stage.key);
    expect(Object.keys(headers).filter((name) => name.startsWith("x-stainless"))).toEqual([]);
  });

  test("streams a chat; the usage is read, and its extra chunk is hidden from who didn't ask for it", async () => {
    const billed = stage.provider.billedMicros();
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    const cost = await charged(async () => {
      const stream = await openai.chat.completions.create({
        model: "small-1",
        messages: [...messages],
        stream: true,
      });
      for await (const chunk of stream) chunks.push(chunk);
    });
    expect(lastSeen().body["stream_options"]).toEqual({ include_usage: true });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("0 1 2 3 ");
    expect(chunks.every(({ choices }) => choices.length === 1)).toBe(true);
    expect(cost).toBe(stage.provider.billedMicros() - billed);
  });

  test("streams the usage to who asked for it", async () => {
    const stream = await openai.chat.completions.create({
      model: "small-1",
      messages: [...messages],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 20 } });
  });

  test("calls tools, streaming and not", async () => {
    const request = { model: "small-1", messages: [...messages], tools: [tool] };
    const whole = await openai.chat.completions.create(request);
    expect(whole.choices[0]!.message.tool_calls![0]).toMatchObject({ function: { name: "read_file" } });
    const runner = openai.chat.completions.stream(request);
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]!.message.tool_calls![0]).toMatchObject({
      function: { name: "read_file", arguments: '{"path":"notes.txt"}' },
    });
    const again = await openai.chat.completions.create({
      ...request,
      messages: [
        ...messages,
        whole.choices[0]!.message,
        { role: "tool", tool_call_id: "call_1", content: "the notes" },
      ],
    });
    expect(again.choices).toHaveLength(1);
  });

  test("uses the responses API, streaming and not, of which the provider keeps nothing", async () => {
    const billed = stage.provider.billedMicros();
    const cost = await charged(async () => {
      const whole = await openai.responses.create({ model: "small-1", input: "hello" });
      expect(whole.output_text).toBe("0 1 2 3 ");
      expect(lastSeen().body).toMatchObject({ store: false, max_output_tokens: 4096 });
      const stream = await openai.responses.create({ model: "small-1", input: "hello", stream: true });
      const types: string[] = [];
      for await (const event of stream) types.push(event.type);
      expect(types.at(-1)).toBe("response.completed");
    });
    expect(cost).toBe(stage.provider.billedMicros() - billed);
  });

  test("embeds", async () => {
    const cost = await charged(async () => {
      const { data } = await openai.embeddings.create({ model: "small-1", input: ["a", "b"] });
      expect(data).toHaveLength(2);
    });
    expect(cost).toBeGreaterThan(0);
  });

  test("sees the models that the agent may use, and no other", async () => {
    const models = await openai.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(["small-1", "frontier-1"]);
    await expect(openai.models.retrieve("unheard-of-9")).rejects.toMatchObject({ status: 404 });
  });

  test("is told of an unknown model once, without a retry, and nothing is sent", async () => {
    const before = stage.provider.seen.length;
    const error = await openai.chat.completions
      .create({ model: "unheard-of-9", messages: [...messages] })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect((error as Error).message).toContain("Do not retry");
    expect(stage.provider.seen.length).toBe(before);
  });

  test("with a key that is nobody's is told so", async () => {
    const stranger = new OpenAI({ baseURL: `${stage.proxy.url}/v1`, apiKey: providerKey });
    await expect(
      stranger.chat.completions.create({ model: "small-1", messages: [...messages] }),
    ).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  test("runs under the agent's name in the ledger", async () => {
    const { entries } = await stage.admin(
      "GET",
      `/v1/ledger/entries?agent=${encodeURIComponent(auditor)}&limit=1`,
    );
    expect(entries).toHaveLength(1);
  });
});

describe("the Anthropic SDK", () => {
  let stage: Stage;
  let anthropic: Anthropic;
  beforeAll(async () => {
    stage = await startStage({ proxy: { provider: "anthropic" } });
    anthropic = new Anthropic({ baseURL: stage.proxy.url, apiKey: stage.key });
  });
  afterAll(() => stage.close());
  const request = {
    model: "small-1",
    max_tokens: 100,
    messages: [{ role: "user" as const, content: "hello" }],
  };
  const read = { name: "read_file", input_schema: { type: "object" as const } };

  test("gets messages, streaming and not, at the provider's cost", async () => {
    const before = await stage.spent();
    const whole = await anthropic.messages.create(request);
    expect(whole.content[0]).toMatchObject({ text: "0 1 2 3 " });
    const streamed = await anthropic.messages.stream(request).finalMessage();
    expect(streamed.content[0]).toMatchObject({ text: "0 1 2 3 " });
    expect(streamed.usage.output_tokens).toBe(20);
    const after = await stage.spent();
    expect(after).toEqual({ used: before.used + stage.provider.billedMicros(), held: 0 });
    const { headers } = stage.provider.seen.at(-1)!;
    expect(headers["x-api-key"]).toBe(providerKey);
    expect(headers.authorization).toBeUndefined();
    expect(JSON.stringify(stage.provider.seen)).not.toContain(stage.key);
  });

  test("calls tools, streaming and not", async () => {
    const whole = await anthropic.messages.create({ ...request, tools: [read] });
    expect(whole.content[0]).toMatchObject({ type: "tool_use", name: "read_file" });
    const streamed = await anthropic.messages.stream({ ...request, tools: [read] }).finalMessage();
    expect(streamed.content[0]).toMatchObject({ type: "tool_use", input: { path: "notes.txt" } });
    const answered = await anthropic.messages.create({
      ...request,
      tools: [read],
      messages: [
        ...request.messages,
        { role: "assistant", content: whole.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "the notes" }] },
      ],
    });
    expect(answered.type).toBe("message");
  });

  test("counts tokens, which costs nothing, of a model that it may use", async () => {
    const before = await stage.spent();
    expect(
      (await anthropic.messages.countTokens({ model: "small-1", messages: request.messages })).input_tokens,
    ).toBeGreaterThan(0);
    expect(await stage.spent()).toEqual(before);
    await expect(
      anthropic.messages.countTokens({ model: "unheard-of-9", messages: request.messages }),
    ).rejects.toBeInstanceOf(Anthropic.PermissionDeniedError);
  });

  test("is refused what the provider runs itself, and features of unknown cost", async () => {
    const before = stage.provider.seen.length;
    await expect(
      anthropic.messages.create({ ...request, tools: [{ type: "web_search_20250305", name: "web_search" }] }),
    ).rejects.toThrow(/tools\.web_search_20250305/);
    await expect(
      anthropic.beta.messages.create({ ...request, betas: ["fast-mode-2026-02-01"] }),
    ).rejects.toThrow(/beta\.fast-mode/);
    expect(stage.provider.seen.length).toBe(before);
  });
});
