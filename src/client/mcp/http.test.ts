/** The real MCP SDK over streamable HTTP, with the proxy between client and server, against a real service. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { createClient } from "../client.ts";
import { type McpHttp, startMcpHttp } from "./http.ts";
import { startToolStage, type ToolStage } from "./stage.test-parts.ts";

type FilesServer = { url: string; calls: string[]; seen: IncomingHttpHeaders[]; close: () => void };

/** A server with sessions, whose answers are streams or plain JSON. */
const startFiles = async (enableJsonResponse: boolean): Promise<FilesServer> => {
  const calls: string[] = [];
  const seen: IncomingHttpHeaders[] = [];
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const begin = async (): Promise<StreamableHTTPServerTransport> => {
    const transport = new StreamableHTTPServerTransport({
      enableJsonResponse,
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void transports.set(id, transport),
    });
    const mcp = new McpServer({ name: "files", version: "1.0.0" });
    const path = { path: z.string() };
    mcp.registerTool("read_file", { inputSchema: path }, async ({ path }, { sendNotification, _meta }) => {
      calls.push(path);
      const progressToken = _meta?.progressToken;
      if (progressToken !== undefined)
        await sendNotification({ method: "notifications/progress", params: { progressToken, progress: 1 } });
      return { content: [{ type: "text", text: `what ${path} says` }] };
    });
    mcp.registerTool("drop_database", {}, () => {
      calls.push("drop_database");
      return { content: [] };
    });
    mcp.registerTool("list_directory", {}, async () => {
      const said = await mcp.server
        .request({ method: "roots/list" }, z.looseObject({}))
        .then(() => "answered")
        .catch((error: unknown) => String(error));
      return { content: [{ type: "text", text: said }] };
    });
    await mcp.connect(transport);
    return transport;
  };
  const server: Server = createServer((request, response) => {
    seen.push(request.headers);
    const id = request.headers["mcp-session-id"];
    const handle = async (): Promise<void> => {
      const transport = typeof id === "string" ? transports.get(id) : await begin();
      if (transport === undefined) return void response.writeHead(404).end();
      await transport.handleRequest(request, response);
    };
    void handle();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    calls,
    seen,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

describe.each([
  ["streams", false],
  ["plain JSON", true],
])("an MCP client over HTTP, answered by %s", (_what, plain) => {
  let stage: ToolStage;
  let files: FilesServer;
  let proxy: McpHttp;
  const keys: Record<string, string> = {};
  const open: Client[] = [];
  beforeAll(async () => {
    stage = await startToolStage();
    files = await startFiles(plain);
    for (const name of ["coder", "reader"])
      keys[name] = String((await stage.admin(`/v1/agents/agents%2F${name}/keys`, {}))["key"]);
    proxy = await startMcpHttp({
      client: createClient({ baseUrl: stage.service.url, key: stage.callerKey }),
      server: "files",
      upstream: files.url,
      upstreamKey: "the-server-s-own",
      listen: { host: "127.0.0.1", port: 0 },
    });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((client) => client.close()));
  });
  afterAll(async () => {
    await proxy.close();
    files.close();
    await stage.close();
  });

  const connect = async (agent = "coder"): Promise<[Client, StreamableHTTPClientTransport]> => {
    const transport = new StreamableHTTPClientTransport(new URL(proxy.url), {
      requestInit: { headers: { authorization: `Bearer ${keys[agent]}` } },
    });
    const client = new Client({ name: "test", version: "1.0.0" }, { capabilities: { roots: {} } });
    open.push(client);
    await client.connect(transport);
    return [client, transport];
  };
  const read = async (client: Client, path: string): Promise<string> => {
    const { content } = await client.callTool({ name: "read_file", arguments: { path } });
    return (content as { text: string }[])[0]!.text;
  };

  test("sees and calls what it may, and nothing else; keys stay on their own side", async () => {
    const [client] = await connect();
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["read_file", "list_directory"]);
    expect(await read(client, "/a")).toBe("what /a says");
    await expect(client.callTool({ name: "drop_database" })).rejects.toMatchObject({
      code: -32_001,
      data: { reason: "unknown_entity" },
    });
    expect(files.calls).toEqual(["/a"]);
    expect(new Set(files.seen.map(({ authorization }) => authorization))).toEqual(
      new Set(["Bearer the-server-s-own"]),
    );
    expect(files.seen.at(-1)).toMatchObject({ "mcp-method": "tools/call", "mcp-name": "read_file" });
  });

  test("is stopped in a loop of its session; another session is not", async () => {
    const [client] = await connect();
    await read(client, "/loop");
    await read(client, "/loop");
    await expect(read(client, "/loop")).rejects.toMatchObject({ data: { reason: "loop_detected" } });
    const [other] = await connect();
    expect(await read(other, "/loop")).toBe("what /loop says");
  });

  test.skipIf(plain)("hears of progress, and is not asked what its operator didn't allow", async () => {
    const [client] = await connect();
    const heard: number[] = [];
    await client.callTool({ name: "read_file", arguments: { path: "/p" } }, undefined, {
      onprogress: ({ progress }) => heard.push(progress),
    });
    expect(heard).toEqual([1]);
    const { content } = await client.callTool({ name: "list_directory" });
    expect((content as { text: string }[])[0]!.text).toContain("-32001");
  });

  test("can't speak in another agent's session, nor in one that was ended", async () => {
    const [client, transport] = await connect();
    const speak = (key: string): Promise<Response> =>
      fetch(proxy.url, {
        method: "POST",
        headers: {
          authorization: `Bearer ${key}`,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-session-id": transport.sessionId!,
        },
        body: JSON.stringify({ jsonrpc: "2.0", id: 99, method: "ping" }),
      });
    expect((await speak(keys["coder"]!)).status).toBe(200);
    expect((await speak(keys["reader"]!)).status).toBe(404);
    await transport.terminateSession();
    expect((await speak(keys["coder"]!)).status).toBe(404);
    await client.close();
  });

  test.each([
    ["without a key", 401, {}, "{}"],
    ["with nobody's key", 401, { authorization: "Bearer remit_agent_nobody" }, "{}"],
    ["from a web page", 403, { origin: "http://localhost" }, "{}"],
  ])("is refused %s", async (_what, status, headers, body) => {
    const before = files.seen.length;
    const response = await fetch(proxy.url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    expect(response.status).toBe(status);
    expect(files.seen).toHaveLength(before);
  });

  test("is stopped by the kill switch at its next call", async () => {
    const [client] = await connect("reader");
    await read(client, "/before");
    await stage.admin("/v1/kill", { target: { agent: "agents/reader" }, action: "suspend", reason: "test" });
    await expect(read(client, "/after")).rejects.toMatchObject({ data: { reason: "agent_suspended" } });
    expect(files.calls).not.toContain("/after");
  });
});

test("without a PDP no call passes over HTTP", async () => {
  const files = await startFiles(true);
  const proxy = await startMcpHttp({
    client: createClient({ baseUrl: "http://127.0.0.1:9", timeoutMs: 500 }),
    agent: { type: "Agent", id: "agents/coder" },
    server: "files",
    upstream: files.url,
    listen: { host: "127.0.0.1", port: 0 },
  });
  const response = await fetch(proxy.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "read_file" } }),
  });
  expect(await response.json()).toMatchObject({ id: 1, error: { code: -32_603 } });
  expect(files.seen).toEqual([]);
  await proxy.close();
  files.close();
});

test("beyond this machine nobody acts as an agent without its key", async () => {
  const start = startMcpHttp({
    client: createClient({ baseUrl: "http://127.0.0.1:9" }),
    agent: { type: "Agent", id: "agents/coder" },
    server: "files",
    upstream: "https://mcp.example.com/mcp",
    listen: { host: "0.0.0.0", port: 0 },
  });
  await expect(start).rejects.toThrow(/must bear its agent's key/);
});
