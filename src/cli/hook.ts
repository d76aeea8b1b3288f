/** `remit hook …`: called by a coding agent before each of its tools, and entered into its settings. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Command } from "commander";
import { createClient } from "../client/index.ts";
import { answerClaudeCode, askUserObligation, type HookAnswer } from "../client/hook/claude-code.ts";
import { withHook } from "../client/hook/settings.ts";
import { isObject, parseJson } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { collect, parseCount, secretIn } from "./options.ts";

type HookOptions = {
  agent: string;
  agentKeyFile?: string;
  user?: string;
  server: string;
  argument?: string[];
  pdp: string;
  pdpKeyFile?: string;
  deadlineMs: number;
};

/** Of the deadline, for what is not asking: starting, reading, writing. */
const marginMs = 500;
const eventBytesMax = 16_777_216;

const readInput = async (): Promise<string> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > eventBytesMax) throw new Error("the event is too long");
    chunks.push(chunk);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes));
};

/** Ends the process once what it says is written. */
const end = ({ exitCode, stdout, stderr }: HookAnswer): void => {
  if (stderr !== undefined) process.stderr.write(`${stderr}\n`);
  if (stdout === undefined) process.exit(exitCode);
  process.stdout.write(`${JSON.stringify(stdout)}\n`, () => process.exit(exitCode));
};

const block = (why: string): void => end({ exitCode: 2, stderr: `remit: ${why}; the call is blocked` });

const claudeCode = async (options: HookOptions): Promise<void> => {
  const { agent, agentKeyFile, user, server, argument, pdp, pdpKeyFile, deadlineMs } = options;
  // The host takes any other exit code than 2 for a hook that has nothing against the call.
  process.prependListener("uncaughtException", () => block("the hook failed"));
  process.prependListener("unhandledRejection", () => block("the hook failed"));
  setTimeout(() => block(`there was no answer within ${deadlineMs} ms`), deadlineMs);
  try {
    const client = createClient({
      baseUrl: pdp,
      timeoutMs: Math.max(1, deadlineMs - marginMs),
      supportedObligations: [askUserObligation],
      ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }),
    });
    const key = agentKeyFile === undefined ? undefined : secretIn(agentKeyFile);
    const who = { type: "Agent", id: agent, key };
    end(await answerClaudeCode(await readInput(), { client, agent: who, user, server, arguments: argument }));
  } catch (error) {
    block(error instanceof Error ? error.message : "the hook failed");
  }
};

type InstallOptions = HookOptions & { settings: string; yes?: true };

/** What a shell takes as one word. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

const commandOf = ({
  agent,
  agentKeyFile,
  user,
  server,
  argument = [],
  pdp,
  pdpKeyFile,
}: HookOptions): string => {
  const words = [
    ["--agent", agent],
    ...(agentKeyFile === undefined ? [] : [["--agent-key-file", agentKeyFile]]),
    ...(user === undefined ? [] : [["--user", user]]),
    ["--server", server],
    ...argument.map((name) => ["--argument", name]),
    ["--pdp", pdp],
    ...(pdpKeyFile === undefined ? [] : [["--pdp-key-file", pdpKeyFile]]),
  ];
  return ["remit hook claude-code", ...words.flat().map(quoted)].join(" ");
};

const install = (options: InstallOptions): void => {
  const { settings, yes } = options;
  const before = existsSync(settings) ? parseJson(readFileSync(settings, "utf8")) : {};
  if (!isObject(before)) throw new Problem("not_ready", `\`${settings}\` holds no settings`);
  const text = `${JSON.stringify(withHook(before, commandOf(options)), undefined, 2)}\n`;
  process.stdout.write(text);
  if (yes === undefined) {
    process.stderr.write(`remit: nothing is written; with --yes, this is what ${settings} will hold\n`);
    return;
  }
  mkdirSync(dirname(settings), { recursive: true });
  writeFileSync(`${settings}.new`, text);
  renameSync(`${settings}.new`, settings);
  process.stderr.write(`remit: ${settings} is written\n`);
};

const withWho = (command: Command): Command =>
  command
    .requiredOption("--agent <id>", "the agent that acts")
    .option("--agent-key-file <file>", "file with the agent's key (remit agent key)")
    .option("--user <id>", "the person on whose behalf it acts (default: it acts for itself)")
    .option("--server <name>", "the name of the coding agent's own tools in policies", "claude-code")
    .option("--argument <name>", "ask about an argument by its value; a file's path always is", collect)
    .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
    .option("--pdp-key-file <file>", "file with the hook's key as a caller (scopes evaluate and settle)");

export const hookCommand = (): Command =>
  new Command("hook")
    .description("stand between a coding agent and its tools")
    .addCommand(
      withWho(new Command("claude-code").description("answer one event of Claude Code, from standard input"))
        .option("--deadline-ms <ms>", "blocks the call where there is no answer by then", parseCount, 5000)
        .action(claudeCode),
    )
    .addCommand(
      withWho(new Command("install").description("show the settings of Claude Code that call the hook"))
        .option("--settings <file>", "the settings to change", ".claude/settings.json")
        .option("--yes", "write them")
        .action(install),
    );
