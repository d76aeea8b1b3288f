/** What passes a gate and what does not, message by message; its lines; and its ends around a process. */
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JsonObject, JsonValue } from "../../kit/json.ts";
import { createClient } from "../client.ts";
import type { GateOptions } from "./desk.ts";
import { createGate, type Gate } from "./gate.ts";
import { linesOf } from "./lines.ts";
import { runMcpStdio } from "./stdio.ts";

type Asked = { body: JsonObject };

/** A gate whose PDP permits what `permits` says, and what it was asked. */
const gateWith = (
  options: Partial<GateOptions> = {},
  permits: (body: JsonObject) => boolean = () => true,
): Gate & { asked: Asked[] } => {
  const asked: Asked[] = [];
  const client = createClient({
    endpoints: {
      evaluation: "http://127.0.0.1/access/v1/evaluation",
      evaluations: "http://127.0.0.1/access/v1/evaluations",
    },
    fetch: async (_url, init) => {
      const body = JSON.parse(init?.body as string) as JsonObject;
      asked.push({ body });
      const { evaluations } = body;
      return Response.json(
        Array.isArray(evaluations)
          ? { evaluations: evaluations.map((one) => ({ decision: permits(one as JsonObject) })) }
          : { decision: permits(body) },
      );
    },
  });
  const gate = createGate({
    client,
    agent: { type: "Agent", id: "a" },
    server: "files",
    run: "r",
    ...options,
  });
  return { ...gate, asked };
};

const request = (id: JsonValue, method: string, params?: JsonObject): JsonObject => ({
  jsonrpc: "2.0",
  id,
  method,
  ...(params === undefined ? {} : { params }),
});
const toolCall = (id: JsonValue, args: JsonObject = {}): JsonObject =>
  request(id, "tools/call", { name: "read_file", arguments: args });
const codeOf = ({ answer }: { answer?: JsonObject }): unknown => (answer?.["error"] as JsonObject)?.["code"];

describe("how a call ended", () => {
  /** A gate over a PDP that tells its decisions' ids; `stops` says whether its agent was stopped by now. */
  const reportingGate = (stops: () => boolean = () => false) => {
    const reports: unknown[] = [];
    let asked = 0;
    const gate = createGate({
      client: createClient({
        endpoints: { evaluation: "http://127.0.0.1/access/v1/evaluation" },
        fetch: async (_url, init) => {
          const { context } = JSON.parse(init?.body as string) as {
            context: { remit: { dry_run?: boolean } };
          };
          const denied = context.remit.dry_run === true && stops();
          const body = denied
            ? {
                decision: false,
                context: { remit: { reason: "agent_suspended", message: "It is suspended." } },
              }
            : { decision: true };
          return Response.json(body, { headers: { "remit-decision": `d${++asked}` } });
        },
      }),
      agent: { type: "Agent", id: "a" },
      server: "files",
      run: "r",
      longCallMs: 0,
      outcomes: { report: (decision, ended) => void reports.push([decision, ended]) },
    });
    return { gate, reports };
  };
  const response = (id: JsonValue, rest: JsonObject): JsonObject => ({ jsonrpc: "2.0", id, ...rest });

  test("is reported of its decision, and of nothing that is about the server as a whole", async () => {
    const { gate, reports } = reportingGate();
    await gate.fromClient(request(0, "tools/list"));
    await gate.fromServer(response(0, { error: { code: 1, message: "no" } }));
    const ends: JsonObject[] = [
      { result: { content: [] } },
      { result: { content: [], isError: true } },
      { error: { code: 1, message: "no" } },
    ];
    for (const [id, end] of ends.entries()) {
      await gate.fromClient(toolCall(id));
      await gate.fromServer(response(id, end));
    }
    expect(reports.map((one) => (one as [string, { outcome: string }])[1].outcome)).toEqual([
      "succeeded",
      "failed",
      "failed",
    ]);
    expect(new Set(reports.map((one) => (one as [string])[0])).size).toBe(3);
  });

  test("is a failure where no answer comes, and says so where it was cancelled", async () => {
    const { gate, reports } = reportingGate();
    await gate.fromClient(toolCall(1));
    await gate.fromClient({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } });
    await gate.fromClient(toolCall(2));
    await gate.abandon(toolCall(2));
    await gate.fromClient(toolCall(3));
    await gate.end("the server has ended");
    expect(reports).toEqual([
      ["d1", { outcome: "failed", detail: "the client cancelled it" }],
      ["d2", { outcome: "failed", detail: "no answer came" }],
      ["d3", { outcome: "failed", detail: "no answer came" }],
    ]);
  });

  test("is not for an agent to see that was stopped while it ran", async () => {
    let stopped = false;
    const { gate, reports } = reportingGate(() => stopped);
    await gate.fromClient(toolCall(1));
    expect(await gate.fromServer(response(1, { result: { content: [] } }))).toHaveProperty("forward.result");
    await gate.fromClient(toolCall(2));
    stopped = true;
    const { forward } = await gate.fromServer(response(2, { result: { content: ["secret"] } }));
    expect(forward).toMatchObject({ id: 2, error: { code: -32_001, data: { reason: "agent_suspended" } } });
    expect(JSON.stringify(forward)).not.toContain("secret");
    // It did happen.
    expect(reports).toHaveLength(2);
    expect(reports[1]).toMatchObject([expect.any(String), { outcome: "succeeded" }]);
  });
});

describe("what a client sends", () => {
  test("is asked about without its arguments, but for those that the operator names", async () => {
    const gate = gateWith({ arguments: ["path"], parentRun: "p" });
    await gate.fromClient(toolCall(1, { path: "/a", secret: "s" }));
    expect(gate.asked).toEqual([
      {
        body: {
          subject: { type: "Agent", id: "a" },
          action: { name: "tools/call", properties: { path: "/a" } },
          resource: {
            type: "tool",
            id: "read_file",
            properties: { server: { type: "mcp_server", id: "files" } },
          },
          context: {
            remit: {
              run: "r",
              parent_run: "p",
              arguments_digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
            },
          },
        },
      },
    ]);
  });

  test("names the person in front of the agent where there is one", async () => {
    const gate = gateWith({ user: "alice" });
    await gate.fromClient(toolCall(1));
    expect(gate.asked[0]!.body).toMatchObject({
      subject: { type: "identity", id: "alice" },
      context: { agent: "a" },
    });
  });

  test("has one digest for one meaning, whatever names its progress", async () => {
    const gate = gateWith();
    for (const [id, _meta] of [{ progressToken: 1 }, { progressToken: 2 }].entries())
      await gate.fromClient(request(id, "tools/call", { name: "t", arguments: { a: 1, b: 2 }, _meta }));
    await gate.fromClient(request(9, "tools/call", { name: "t", arguments: { b: 2, a: 1 } }));
    await gate.fromClient(request(10, "tools/call", { name: "t", arguments: { a: 1, b: 3 } }));
    const digests = gate.asked.map(
      ({ body }) => ((body["context"] as JsonObject)["remit"] as JsonObject)["arguments_digest"],
    );
    expect(new Set(digests.slice(0, 3)).size).toBe(1);
    expect(digests[3]).not.toBe(digests[0]);
  });

  test.each<[string, JsonValue]>([
    ["a batch", [toolCall(1)]],
    ["a number", 7],
    ["an id that is an object", toolCall({ a: 1 })],
    ["an id that is no whole number", toolCall(1.5)],
    ["a null id", toolCall(null)],
    ["another protocol", { ...toolCall(1), jsonrpc: "1.0" }],
    ["parameters by position", { ...toolCall(1), params: ["read_file"] }],
    ["a method that is no text", { ...toolCall(1), method: 1 }],
  ])("is refused unasked where it is %s", async (_what, message) => {
    const gate = gateWith();
    const passage = await gate.fromClient(message);
    expect(codeOf(passage)).toBe(-32_600);
    expect(passage.forward).toBeUndefined();
    expect(gate.asked).toEqual([]);
  });

  test.each<[string, string, JsonObject]>([
    ["a call without a name", "tools/call", {}],
    ["a call of a name that is no text", "tools/call", { name: 1 }],
    ["a read without an address", "resources/read", { name: "x" }],
    ["a completion of nothing known", "completion/complete", { ref: { type: "ref/other", name: "x" } }],
  ])("that says not what it acts on is a mapping error: %s", async (_what, method, params) => {
    const gate = gateWith();
    expect(codeOf(await gate.fromClient(request(1, method, params)))).toBe(-32_602);
    expect(gate.asked).toEqual([]);
  });

  test("passes as nothing where it is a call without an id, or an answer to no question", async () => {
    const gate = gateWith();
    const { id: _id, ...call } = toolCall(1);
    expect(await gate.fromClient(call)).toEqual({});
    expect(await gate.fromClient({ jsonrpc: "2.0", id: 5, result: {} })).toEqual({});
    expect(gate.asked).toEqual([]);
  });

  test("of an unknown method is denied, until its operator maps it, and then asked about", async () => {
    expect(codeOf(await gateWith().fromClient(request(1, "server/discover")))).toBe(-32_001);
    const gate = gateWith({ methods: ["server/discover"] });
    expect((await gate.fromClient(request(1, "server/discover"))).forward).toBeDefined();
    expect(gate.asked[0]!.body).toMatchObject({
      action: { name: "server/discover" },
      resource: { type: "mcp_server", id: "files" },
    });
  });

  test.each(["__proto__", "constructor", "toString"])("of the method `%s` is denied", async (method) => {
    expect(codeOf(await gateWith().fromClient(request(1, method)))).toBe(-32_001);
  });

  test("offers the server no capability whose requests would be refused", async () => {
    const initialize = request(1, "initialize", {
      capabilities: { roots: {}, sampling: {}, experimental: {} },
    });
    const { forward } = await gateWith({ fromServer: ["roots/list"] }).fromClient(initialize);
    expect((forward!["params"] as JsonObject)["capabilities"]).toEqual({ roots: {}, experimental: {} });
  });

  test("under an id that is still open is refused, and so is what comes after the end", async () => {
    const gate = gateWith();
    expect((await gate.fromClient(toolCall(1))).forward).toBeDefined();
    expect(codeOf(await gate.fromClient(toolCall(1)))).toBe(-32_600);
    expect((await gate.fromClient(toolCall("1"))).forward).toBeDefined();
    expect((await gate.end("gone")).map(({ id }) => id)).toEqual([1, "1"]);
    expect(codeOf(await gate.fromClient(toolCall(2)))).toBe(-32_603);
  });

  test("passes only what was asked about, member for member", async () => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), async (extra) => {
        const gate = gateWith();
        const { forward } = await gate.fromClient({ ...(extra as JsonObject), ...toolCall(1) });
        expect(forward).toEqual(toolCall(1));
      }),
      { numRuns: 30 },
    );
  });
});

describe("what a server sends", () => {
  test.each(["sampling/createMessage", "elicitation/create", "roots/list", "tools/call", "made/up"])(
    "is refused where it asks for `%s`",
    async (method) => {
      const passage = await gateWith().fromServer(request(1, method));
      expect(codeOf(passage)).toBe(-32_001);
      expect(passage.forward).toBeUndefined();
    },
  );

  test("passes where the operator allows it, and its answer goes back once", async () => {
    const gate = gateWith({ fromServer: ["roots/list"] });
    expect((await gate.fromServer(request("s", "roots/list"))).forward).toBeDefined();
    const answer = { jsonrpc: "2.0", id: "s", result: { roots: [] } };
    expect((await gate.fromClient(answer)).forward).toEqual(answer);
    expect(await gate.fromClient(answer)).toEqual({});
  });

  test("passes where it is a known notification, and no other", async () => {
    const gate = gateWith();
    const known = { jsonrpc: "2.0", method: "notifications/progress", params: { progress: 1 } };
    expect((await gate.fromServer(known)).forward).toEqual(known);
    expect(await gate.fromServer({ ...known, method: "notifications/made_up" })).toEqual({});
  });

  test("is dropped where it answers what nobody asked, or answers twice", async () => {
    const gate = gateWith();
    const answer = { jsonrpc: "2.0", id: 1, result: { content: [] } };
    expect(await gate.fromServer(answer)).toEqual({});
    await gate.fromClient(toolCall(1));
    expect((await gate.fromServer(answer)).forward).toEqual(answer);
    expect(await gate.fromServer(answer)).toEqual({});
  });

  test("shows of a list what is permitted, by dry runs, and nothing of what can't be asked about", async () => {
    const gate = gateWith({}, (body) => (body["resource"] as JsonObject)["id"] !== "b");
    await gate.fromClient(request(1, "tools/list"));
    const tools = [{ name: "a" }, { name: "b" }, { noName: true }, "c", { name: "d" }];
    const { forward } = await gate.fromServer({ jsonrpc: "2.0", id: 1, result: { tools, nextCursor: "n" } });
    expect(forward!["result"]).toEqual({ tools: [{ name: "a" }, { name: "d" }], nextCursor: "n" });
    const { evaluations } = gate.asked[1]!.body;
    expect(evaluations).toHaveLength(3);
    for (const one of evaluations as JsonObject[])
      expect(one["context"]).toMatchObject({ remit: { dry_run: true } });
  });

  test("is no list where nobody can say what may be used", async () => {
    let isDown = false;
    const gate = gateWith({}, () => {
      if (isDown) throw new Error("the PDP is down");
      return true;
    });
    await gate.fromClient(request(1, "tools/list"));
    isDown = true;
    const { forward } = await gate.fromServer({ jsonrpc: "2.0", id: 1, result: { tools: [{ name: "a" }] } });
    expect(forward).toMatchObject({ id: 1, error: { code: -32_603 } });
    expect(forward).not.toHaveProperty("result");
  });

  test("is no list where its list can't be read", async () => {
    const gate = gateWith();
    await gate.fromClient(request(1, "tools/list"));
    const { forward } = await gate.fromServer({ jsonrpc: "2.0", id: 1, result: { tools: "all" } });
    expect((forward!["error"] as JsonObject)["code"]).toBe(-32_603);
  });
});

describe("lines", () => {
  const linesIn = async (chunks: Buffer[], bytesMax: number): Promise<unknown[]> => {
    const stream = new PassThrough();
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    const lines: unknown[] = [];
    for await (const line of linesOf(stream, bytesMax)) lines.push(line);
    return lines;
  };

  test("are the same however they arrive, and one too long is skipped alone", async () => {
    const whole = Buffer.from(`one\n\n${"x".repeat(50)}\nzwölf\n`);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(whole.length), { maxLength: 8 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.length];
        const chunks = at.slice(1).map((end, index) => whole.subarray(at[index], end));
        expect(await linesIn(chunks, 20)).toEqual([
          { text: "one" },
          { fault: "too_long" },
          { text: "zwölf" },
        ]);
      }),
      { numRuns: 50 },
    );
  });

  test("that are not UTF-8 are none", async () => {
    expect(await linesIn([Buffer.from([0xff, 0x0a])], 20)).toEqual([{ fault: "not_utf8" }]);
  });
});

describe("around a process", () => {
  /** Echoes each request's method as its result, and ends at `end`. */
  const echo = `
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const { id, method } = JSON.parse(line);
      if (method === "logging/setLevel") process.exit(3);
      if (method === "resources/read") return process.stdout.write("x".repeat(5000) + "\\n");
      if (method !== "prompts/get") process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result: { method } }) + "\\n");
    });`;
  const run = async (lines: string[]): Promise<{ code: number; said: JsonObject[] }> => {
    const input = new PassThrough();
    const output = new PassThrough();
    const client = createClient({
      endpoints: { evaluation: "http://127.0.0.1/e" },
      fetch: async () => Response.json({ decision: true }),
    });
    const options = { client, agent: { type: "Agent", id: "a" }, server: "s", run: "r", input, output };
    for (const line of lines) input.write(`${line}\n`);
    input.end();
    const code = await runMcpStdio({
      ...options,
      command: process.execPath,
      args: ["-e", echo],
      clientBytesMax: 1000,
      serverBytesMax: 1000,
      graceMs: 2000,
    });
    output.end();
    const said: JsonObject[] = [];
    for await (const line of linesOf(output, 10_000))
      if ("text" in line) said.push(JSON.parse(line.text) as JsonObject);
    return { code, said };
  };
  const codesIn = (said: JsonObject[]): unknown[] =>
    said.map(({ id, error }) => [id, (error as JsonObject | undefined)?.["code"]]);

  test("what isn't strict JSON, or is too long, is answered and reaches no server", async () => {
    const { code, said } = await run([
      '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
      `{"jsonrpc":"2.0","id":2,"method":"ping","params":{"a":"${"x".repeat(1000)}"}}`,
      JSON.stringify(toolCall(3)),
    ]);
    expect(codesIn(said)).toEqual([
      [null, -32_700],
      [null, -32_600],
      [3, undefined],
    ]);
    expect(code).toBe(0);
  });

  test("what a server leaves open when it ends is answered", async () => {
    const { code, said } = await run([
      JSON.stringify(request(1, "prompts/get", { name: "p" })),
      JSON.stringify(request(2, "logging/setLevel")),
    ]);
    expect(codesIn(said)).toEqual([
      [1, -32_603],
      [2, -32_603],
    ]);
    expect(code).toBe(3);
  });

  test("a server that sends more than it may is ended, and what it left open is answered", async () => {
    const { code, said } = await run([JSON.stringify(request(1, "resources/read", { uri: "x" }))]);
    expect(codesIn(said)).toEqual([[1, -32_603]]);
    expect(code).toBe(1);
  });
});
