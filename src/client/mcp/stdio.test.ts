/** The real MCP SDK, client and server, with the proxy between them as a process, against a real service. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { repository, until } from "../../../conformance-tests/service.ts";
import { fileWith, main, pack, serverScript, startToolStage, type ToolStage } from "./stage.test-parts.ts";

const serverCommand = (log: string): string[] => [process.execPath, "--import", "tsx", serverScript, log];

type Session = { client: Client; calls: () => string[]; stderr: () => string };

const open: Client[] = [];
const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** An MCP client whose server stands behind the proxy. */
const connect = async (pdp: string, ...options: string[]): Promise<Session> => {
  const log = fileWith("");
  const who = options.includes("--agent-key-file") ? [] : ["--agent", "agents/coder"];
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      main,
      "proxy",
      "mcp",
      "--pdp",
      pdp,
      ...who,
      "--server",
      "files",
      ...options,
      "--",
      ...serverCommand(log),
    ],
    cwd: repository,
    stderr: "pipe",
  });
  let said = "";
  transport.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const client = new Client({ name: "test", version: "1.0.0" }, { capabilities: { roots: {} } });
  open.push(client);
  await client.connect(transport);
  return {
    client,
    calls: () => readFileSync(log, "utf8").split("\n").filter(Boolean),
    stderr: () => said,
  };
};

const call = (client: Client, name: string, path?: string): Promise<string> =>
  client
    .callTool({ name, arguments: path === undefined ? {} : { path } })
    .then(({ content }) => (content as { text: string }[])[0]!.text);

describe("an MCP client behind the proxy", () => {
  let stage: ToolStage;
  beforeAll(async () => {
    stage = await startToolStage();
  });
  afterAll(() => stage.close());
  const connected = (...options: string[]): Promise<Session> =>
    connect(stage.service.url, "--pdp-key-file", stage.callerKeyFile, ...options);

  test("sees the tools it may use, and calls them; what isn't listed it can't call either", async () => {
    const { client, calls, stderr } = await connected("--argument", "path");
    const { tools } = await client.listTools();
    // `write_file` may be called with some paths only, and a list names none.
    expect(tools.map(({ name }) => name)).toEqual(["read_file", "list_directory"]);
    expect(await call(client, "read_file", "/workspace/a.md")).toBe("what /workspace/a.md says");
    await expect(call(client, "drop_database")).rejects.toMatchObject({ code: -32_001 });
    expect(calls()).toEqual(["read_file /workspace/a.md"]);
    await until(() => stderr().includes("unknown_entity"));
    expect(stderr()).not.toContain("a.md");
  });

  test("is judged by the arguments that are asked about, and told why it is denied", async () => {
    const { client, calls } = await connected("--argument", "path");
    expect(await call(client, "write_file", "/workspace/b.md")).toBe("written");
    await expect(call(client, "write_file", "/etc/passwd")).rejects.toMatchObject({
      code: -32_001,
      message: expect.stringContaining("Do not retry."),
      data: { reason: "policy_forbid" },
    });
    expect(calls()).toEqual(["write_file /workspace/b.md"]);
  });

  test("is stopped in a loop: the third identical call is denied, another one is not", async () => {
    const { client, calls } = await connected("--argument", "path");
    await call(client, "read_file", "/loop");
    await call(client, "read_file", "/loop");
    await expect(call(client, "read_file", "/loop")).rejects.toMatchObject({
      code: -32_001,
      data: { reason: "loop_detected" },
    });
    await call(client, "read_file", "/other");
    expect(calls()).toEqual(["read_file /loop", "read_file /loop", "read_file /other"]);
  });

  test("reads the resources and gets the prompts of its server", async () => {
    const { client } = await connected();
    expect((await client.listResources()).resources.map(({ uri }) => uri)).toEqual([
      "file:///workspace/note.md",
    ]);
    const { contents } = await client.readResource({ uri: "file:///workspace/note.md" });
    expect(contents).toMatchObject([{ text: "a note" }]);
    expect((await client.listPrompts()).prompts).toHaveLength(1);
    expect((await client.getPrompt({ name: "review" })).messages).toHaveLength(1);
  });

  test("is not asked by the server what its operator didn't allow", async () => {
    const { client } = await connected();
    expect(await call(client, "list_directory")).toContain("-32001");
  });

  test("gets no method that nobody has mapped", async () => {
    const { client } = await connected();
    await expect(client.listResourceTemplates()).rejects.toMatchObject({
      code: -32_001,
      data: { reason: "unknown_method" },
    });
  });

  test("is known by its key, and stopped by the kill switch at its next call", async () => {
    const { key } = await stage.admin("/v1/agents/agents%2Freader/keys", {});
    const { client, calls } = await connected("--agent-key-file", fileWith(String(key)));
    expect(await call(client, "read_file", "/a")).toBe("what /a says");
    await stage.admin("/v1/kill", { target: { agent: "agents/reader" }, action: "suspend", reason: "test" });
    await expect(call(client, "read_file", "/b")).rejects.toMatchObject({
      code: -32_001,
      data: { reason: "agent_suspended" },
    });
    expect(calls()).toEqual(["read_file /a"]);
  });

  test("has the end of each call in the ledger, beside its decision", async () => {
    const { client } = await connected("--argument", "path");
    const key = readFileSync(join(stage.service.config.data, "admin.key"), "utf8").trim();
    type Entry = { id: string; of?: string; facts?: object };
    const newest = async (kind: string): Promise<Entry | undefined> => {
      const query = `kind=${kind}&order=desc&limit=1`;
      const response = await fetch(`${stage.service.url}/v1/ledger/entries?${query}`, {
        headers: { authorization: `Bearer ${key}` },
      });
      return ((await response.json()) as { entries: Entry[] }).entries[0];
    };
    await call(client, "read_file", "/outcome");
    const decision = await newest("decision");
    await until(async () => (await newest("outcome"))?.of === decision!.id);
    expect((await newest("outcome"))!.facts).toMatchObject({ outcome: "succeeded" });
  });

  test("is stopped by its session's budget of tool calls", async () => {
    const few = readFileSync(join(pack, "policies/budgets.yaml"), "utf8").replace("limit: 200", "limit: 2");
    const own = await startToolStage({ "policies/budgets.yaml": few });
    try {
      const { client, calls } = await connect(own.service.url, "--pdp-key-file", own.callerKeyFile);
      await call(client, "read_file", "/1");
      await call(client, "read_file", "/2");
      await expect(call(client, "read_file", "/3")).rejects.toMatchObject({
        code: -32_001,
        data: { reason: "budget_exhausted" },
      });
      // The list doesn't shrink by what passes by itself.
      expect((await client.listTools()).tools.map(({ name }) => name)).toContain("read_file");
      expect(calls()).toHaveLength(2);
    } finally {
      await own.close();
    }
  });
});

describe("when the PDP", () => {
  /** Permits until told otherwise. */
  const startPdp = async (): Promise<{
    url: string;
    answer: (body: (send: (text: string) => void) => void) => void;
  }> => {
    let answer = (send: (text: string) => void): void => send('{"decision":true}');
    const server = createServer((request, response) => {
      request.resume().on("end", () => {
        response.setHeader("content-type", "application/json");
        if (request.url?.startsWith("/.well-known")) {
          response.statusCode = 404;
          response.end("{}");
          return;
        }
        answer((text) => response.end(text));
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}`, answer: (next) => (answer = next) };
  };

  const lies: [string, (send: (text: string) => void) => void][] = [
    ["says nothing", () => {}],
    ["answers no JSON", (send) => send("yes")],
    ["answers a text for true", (send) => send('{"decision":"true"}')],
    ["answers one decision twice over", (send) => send('{"decision":false,"decision":true}')],
    ["answers many decisions", (send) => send('[{"decision":true}]')],
    ["breaks off", (send) => send('{"decision":tr')],
    [
      "demands what nobody can do",
      (send) => send('{"decision":true,"context":{"obligations":[{"id":"1","type":"step-up"}]}}'),
    ],
  ];
  test("is down, slow or lying, no tool call passes, and no list", async () => {
    const pdp = await startPdp();
    const { client, calls } = await connect(pdp.url);
    expect(await call(client, "read_file", "/before")).toBe("what /before says");
    for (const [, lie] of lies) {
      pdp.answer(lie);
      await expect(call(client, "read_file", "/during")).rejects.toMatchObject({ code: -32_603 });
    }
    await expect(client.listTools()).rejects.toMatchObject({ code: -32_603 });
    servers.at(-1)!.closeAllConnections();
    servers.at(-1)!.close();
    await expect(call(client, "read_file", "/after")).rejects.toMatchObject({ code: -32_603 });
    expect(calls()).toEqual(["read_file /before"]);
  });
});
