/** `remit proxy mcp`: stands between an MCP client and one server. */
import { randomUUID } from "node:crypto";
import { Command } from "commander";
import type { McpEvent, StdioOptions } from "../client/mcp/index.ts";
import { type Client, createClient } from "../client/index.ts";
import { Problem } from "../kit/problem.ts";
import { collect, secretIn } from "./options.ts";

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
  pdp: string;
  pdpKeyFile?: string;
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

const mcp = async ([command, ...args]: string[], options: McpOptions): Promise<void> => {
  const { user, server, run = `mcp-${randomUUID()}`, parentRun, pdp, pdpKeyFile } = options;
  const client = createClient({
    baseUrl: pdp,
    ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }),
  });
  const { runMcpStdio } = await import("../client/mcp/index.ts");
  const code = await runMcpStdio({
    client,
    agent: await agentOf(client, options),
    user,
    server,
    run,
    parentRun,
    arguments: options.argument,
    methods: options.method,
    fromServer: options.fromServer,
    command: command!,
    args,
    input: process.stdin,
    output: process.stdout,
    onEvent: tell,
  });
  process.exit(code);
};

export const mcpCommand = (): Command =>
  new Command("mcp")
    .description("stand between an MCP client and one server")
    .argument("<command...>", "the server's command and its arguments, after --")
    .option("--agent <id>", "the agent that acts")
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
    .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
    .option("--pdp-key-file <file>", "file with this proxy's key as a caller (scopes evaluate and settle)")
    .action(mcp);
