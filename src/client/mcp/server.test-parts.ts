/** An MCP server for tests, run as a process: it keeps a log of each call that reached it. */
import { appendFileSync } from "node:fs";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const [log = ""] = process.argv.slice(2);
const note = (line: string): void => appendFileSync(log, `${line}\n`);
const text = (said: string) => ({ content: [{ type: "text" as const, text: said }] });

const server = new McpServer({ name: "files", version: "1.0.0" });
const path = { path: z.string() };

server.registerTool("read_file", { description: "reads", inputSchema: path }, ({ path }) => {
  note(`read_file ${path}`);
  return text(`what ${path} says`);
});
server.registerTool("write_file", { description: "writes", inputSchema: path }, ({ path }) => {
  note(`write_file ${path}`);
  return text("written");
});
// Not in the catalogue of tools.
server.registerTool("drop_database", { description: "drops" }, () => {
  note("drop_database");
  return text("gone");
});
// Asks its client for what the proxy doesn't let it ask.
server.registerTool("list_directory", { description: "lists" }, async () => {
  note("list_directory");
  const answer = await server.server
    .request({ method: "roots/list" }, z.looseObject({}))
    .then(() => "answered")
    .catch((error: unknown) => String(error));
  return text(answer);
});
server.registerResource("note", "file:///workspace/note.md", {}, (uri) => {
  note(`resource ${uri.href}`);
  return { contents: [{ uri: uri.href, text: "a note" }] };
});
server.registerPrompt("review", { description: "reviews" }, () => ({
  messages: [{ role: "user", content: { type: "text", text: "review this" } }],
}));

await server.connect(new StdioServerTransport());
