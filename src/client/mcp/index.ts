/** `remit/client/mcp`: a gate between an MCP client and a server, over standard streams. */
export type { GateOptions, McpEvent, Passage } from "./desk.ts";
export { createGate, type Gate } from "./gate.ts";
export { runMcpStdio, type StdioOptions } from "./stdio.ts";
