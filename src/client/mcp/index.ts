/** `remit/client/mcp`: a gate between an MCP client and a server, over standard streams or HTTP. */
export type { GateOptions, McpEvent, Passage } from "./desk.ts";
export { createGate, type Gate } from "./gate.ts";
export { type McpHttp, type McpHttpOptions, startMcpHttp } from "./http.ts";
export { runMcpStdio, type StdioOptions } from "./stdio.ts";
export { createMappings, type MappingOptions, type Mappings } from "./mapping.ts";
