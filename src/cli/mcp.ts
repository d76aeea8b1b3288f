/** `remit proxy mcp`: stands between an MCP client and one server. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { z } from "zod";
import type { Mappings, McpEvent, StdioOptions } from "../client/mcp/index.ts";
import { type Client, createClient } from "../client/index.ts";
import { listenText } from "../config/listen.ts";
import { parseJson } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { collect, parseAddress, secretIn, untilStopped } from "./options.ts";

type McpOptions = {
  agent?: string;
  agentKeyFile?: string;
  user?: string;
  server: string;
  run?: string;
  parentRun?: string;
  argument?: string[];
  method?: string[];
  fromServer?: string[];
  mapping?: string;
  declaredMappings?: true;
  pdp: string;
  pdpKeyFile?: string;
  upstream?: string;
  upstreamKeyFile?: string;
  listen: { host: string; port: number };
};

/** Says in a log what was denied. Standard output is the client's. */
const tell = (event: McpEvent): void => {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
};

/** Who acts: by its id, by its key, or by both, which the PDP compares with each question. */
const agentOf = async (
  client: Client,
  { agent, agentKeyFile }: McpOptions,
): Promise<StdioOptions["agent"]> => {
  const key = agentKeyFile === undefined ? undefined : secretIn(agentKeyFile);
  if (agent !== undefined) return { type: "Agent", id: agent, key };
  if (key === undefined) throw new Problem("not_ready", "say who acts: --agent, --agent-key-file, or both");
  const known = await client.agents.recognise(key).catch((error: unknown) => {
    throw new Problem("not_ready", "the agent's key could not be checked", { cause: error });
  });
  if (known === undefined) throw new Problem("not_ready", `\`${agentKeyFile}\` holds no agent's key`);
  return { type: known.type, id: known.id, key };
};

const mappingFile = z.strictObject({
  tools: z.record(z.string(), z.json()).optional(),
  methods: z.record(z.string(), z.json()).optional(),
});

/** The operator's mappings, and whether those of the server are followed. */
const mappingsOf = async ({ mapping: file, declaredMappings }: McpOptions): Promise<Mappings> => {
  const { createMappings } = await import("../client/mcp/index.ts");
  const text = file === undefined ? "{}" : readFileSync(file, "utf8");
  try {
    const { tools, methods } = mappingFile.parse(parseJson(text));
    return createMappings({ tools, methods, declared: declaredMappings ?? false });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Problem("not_ready", `\`${file}\` holds no mappings: ${why}`, { cause: error });
  }
};

/** What both transports need; `run` and the agent they know themselves. */
const gateOf = async (
  client: Client,
  options: McpOptions,
): Promise<Omit<StdioOptions, "agent" | "run" | keyof Streams>> => ({
  client,
  user: options.user,
  server: options.server,
  parentRun: options.parentRun,
  arguments: options.argument,
  methods: options.method,
  fromServer: options.fromServer,
  mappings: await mappingsOf(options),
  onEvent: tell,
});

type Streams = Pick<StdioOptions, "command" | "args" | "input" | "output">;

const overHttp = async (client: Client, options: McpOptions, upstream: string): Promise<void> => {
  const { agent, agentKeyFile, upstreamKeyFile, run, listen } = options;
  const { startMcpHttp } = await import("../client/mcp/index.ts");
  const known =
    agent === undefined && agentKeyFile === undefined ? undefined : await agentOf(client, options);
  const proxy = await startMcpHttp({
    ...(await gateOf(client, options)),
    agent: known,
    run,
    upstream,
    ...(upstreamKeyFile === undefined ? {} : { upstreamKey: secretIn(upstreamKeyFile) }),
    listen,
  });
  untilStopped(() => proxy.close());
  process.stdout.write(`remit proxy listens on ${proxy.url} for ${upstream} (mcp)\n`);
};

const overStdio = async (client: Client, options: McpOptions, words: string[]): Promise<void> => {
  const [command, ...args] = words;
  const { runMcpStdio } = await import("../client/mcp/index.ts");
  const code = await runMcpStdio({
    ...(await gateOf(client, options)),
    agent: await agentOf(client, options),
    run: options.run ?? `mcp-${randomUUID()}`,
    command: command!,
    args,
    input: process.stdin,
    output: process.stdout,
  });
  process.exit(code);
};

const mcp = async (words: string[], options: McpOptions): Promise<void> => {
  const { pdp, pdpKeyFile, upstream } = options;
  const client = createClient({
    baseUrl: pdp,
    ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }),
  });
  if ((words.length === 0) === (upstream === undefined))
    throw new Problem("not_ready", "say which server: a command after --, or --upstream");
  await (upstream === undefined ? overStdio(client, options, words) : overHttp(client, options, upstream));
};

const defaultListen = { host: "127.0.0.1", port: 8183 };

export const mcpCommand = (): Command =>
  new Command("mcp")
    .description("stand between an MCP client and one server")
    .argument("[command...]", "the server's command and its arguments, after --")
    .option("--upstream <url>", "the server's address instead, for streamable HTTP")
    .option("--upstream-key-file <file>", "file with the bearer token that the upstream wants")
    .addOption(
      new Option("--listen <host:port>", "address to listen on, with --upstream")
        .argParser(parseAddress)
        .default(defaultListen, listenText(defaultListen)),
    )
    .option("--agent <id>", "the agent that acts (default, with --upstream: whose key a request bears)")
    .option("--agent-key-file <file>", "file with the agent's key (remit agent key)")
    .option("--user <id>", "the person on whose behalf it acts (default: it acts for itself)")
    .requiredOption("--server <name>", "the server's name in policies")
    .option("--run <id>", "the run that it acts in (default: one for each start)")
    .option("--parent-run <id>", "the run that this one belongs to")
    .option("--argument <name>", "ask about a tool's argument by its value, not only by its digest", collect)
    .option("--method <name>", "ask about a method that the binding doesn't know, and pass it on", collect)
    .option(
      "--from-server <method>",
      "let the server ask: sampling/createMessage, elicitation/create or roots/list",
      collect,
    )
    .option("--mapping <file>", "JSON with mappings of tools and methods, in place of the defaults")
    .option("--declared-mappings", "let the server say how its tools are asked about (x-authzen-mapping)")
    .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
    .option("--pdp-key-file <file>", "file with this proxy's key as a caller (scopes evaluate and settle)")
    .action(mcp);
