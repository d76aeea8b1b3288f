/** `remit hook …`: called by a coding agent before each of its tools, and entered into its settings. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command, Option } from "commander";
import { createClient } from "../client/index.ts";
import { answerClaudeCode, askUserObligation, type HookAnswer } from "../client/hook/claude-code.ts";
import { createOpenCalls } from "../client/hook/open-calls.ts";
import { type HookCall, withHook } from "../client/hook/settings.ts";
import { createOutcomeReporter } from "../client/outcomes.ts";
import { listenText } from "../config/listen.ts";
import { isObject, parseJson } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";
import { collect, parseAddress, parseCount, secretIn, untilStopped } from "./options.ts";

type HookOptions = {
  agent: string;
  agentKeyFile?: string;
  user?: string;
  server: string;
  argument?: string[];
  pdp: string;
  pdpKeyFile?: string;
  deadlineMs: number;
  state: string;
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
  const { agent, agentKeyFile, user, server, argument, pdp, pdpKeyFile, deadlineMs, state } = options;
  const began = performance.now();
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
    const outcomes = createOutcomeReporter({ client });
    const answer = await answerClaudeCode(await readInput(), {
      client,
      agent: who,
      user,
      server,
      arguments: argument,
      calls: createOpenCalls(state),
      outcomes,
    });
    // The tool has ended, so the host may wait a little; a report that doesn't get through is given up.
    await outcomes.drain(Math.max(0, deadlineMs - marginMs - (performance.now() - began)));
    end(answer);
  } catch (error) {
    block(error instanceof Error ? error.message : "the hook failed");
  }
};

type ServeOptions = Omit<HookOptions, "agent"> & { agent?: string; listen: { host: string; port: number } };

const serve = async (options: ServeOptions): Promise<void> => {
  const { agent, agentKeyFile, user, server, argument, pdp, pdpKeyFile, deadlineMs, state, listen } = options;
  if (agent === undefined && agentKeyFile !== undefined)
    throw new Problem("not_ready", "say whose key it is: --agent");
  const { startHookHttp } = await import("../client/hook/http.ts");
  const client = createClient({
    baseUrl: pdp,
    timeoutMs: Math.max(1, deadlineMs - marginMs),
    supportedObligations: [askUserObligation],
    ...(pdpKeyFile === undefined ? {} : { key: secretIn(pdpKeyFile) }),
  });
  const key = agentKeyFile === undefined ? undefined : secretIn(agentKeyFile);
  const outcomes = createOutcomeReporter({
    client,
    onLost: (decision, why) => void process.stderr.write(`remit: unreported: ${decision}: ${why}\n`),
  });
  const { url, close } = await startHookHttp({
    client,
    ...(agent === undefined ? {} : { agent: { type: "Agent", id: agent, key } }),
    user,
    server,
    arguments: argument,
    calls: createOpenCalls(state),
    outcomes,
    listen,
    deadlineMs,
  });
  untilStopped(async () => {
    await close();
    await outcomes.drain(2000);
  });
  process.stdout.write(`remit hook listens on ${url}\n`);
};

type InstallOptions = Partial<HookOptions> & {
  server: string;
  pdp: string;
  settings: string;
  url?: string;
  keyVariable?: string;
  yes?: true;
};

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
}: InstallOptions): string => {
  if (agent === undefined)
    throw new Problem("not_ready", "say who acts: --agent, or --url of a hook that knows");
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

const hookCallOf = (options: InstallOptions): HookCall => {
  const { url, keyVariable } = options;
  if (url === undefined) return { command: commandOf(options) };
  if (keyVariable !== undefined && !/^[A-Za-z_]\w*$/.test(keyVariable))
    throw new Problem("not_ready", `\`${keyVariable}\` is no name of a variable`);
  return { url, keyVariable };
};

const install = (options: InstallOptions): void => {
  const { settings, yes } = options;
  const before = existsSync(settings) ? parseJson(readFileSync(settings, "utf8")) : {};
  if (!isObject(before)) throw new Problem("not_ready", `\`${settings}\` holds no settings`);
  const text = `${JSON.stringify(withHook(before, hookCallOf(options)), undefined, 2)}\n`;
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

const defaultListen = { host: "127.0.0.1", port: 8185 };

/** Of this user; nothing is permitted by what is in it. */
const defaultState = (): string => join(tmpdir(), `remit-hook-${process.getuid?.() ?? "user"}`);

const withAsking = (command: Command): Command =>
  command
    .option("--agent-key-file <file>", "file with the agent's key (remit agent key)")
    .option("--user <id>", "the person on whose behalf it acts (default: it acts for itself)")
    .option("--server <name>", "the name of the coding agent's own tools in policies", "claude-code")
    .option("--argument <name>", "ask about an argument by its value; a file's path always is", collect)
    .option("--pdp <url>", "the Remit that is asked", "http://127.0.0.1:8181")
    .option("--pdp-key-file <file>", "file with the hook's key as a caller (scopes evaluate and settle)");

const withAnswering = (command: Command): Command =>
  withAsking(command)
    .option("--deadline-ms <ms>", "blocks the call where there is no answer by then", parseCount, 5000)
    .addOption(
      new Option("--state <dir>", "where calls are kept between their beginning and their end").default(
        defaultState(),
        "a folder of the user's among the temporary files",
      ),
    );

export const hookCommand = (): Command =>
  new Command("hook")
    .description("stand between a coding agent and its tools")
    .addCommand(
      withAnswering(
        new Command("claude-code")
          .description("answer one event of Claude Code, from standard input")
          .requiredOption("--agent <id>", "the agent that acts"),
      ).action(claudeCode),
    )
    .addCommand(
      withAnswering(
        new Command("serve")
          .description("answer events of Claude Code over HTTP, at /hooks/claude-code")
          .option("--agent <id>", "the agent that acts (default: whose key a request bears)")
          .addOption(
            new Option("--listen <host:port>", "address to listen on")
              .argParser(parseAddress)
              .default(defaultListen, listenText(defaultListen)),
          ),
      ).action(serve),
    )
    .addCommand(
      withAsking(
        new Command("install")
          .description("show the settings of Claude Code that call the hook")
          .option("--agent <id>", "the agent that acts"),
      )
        .option("--url <url>", "call `remit hook serve` at this address, in place of a command")
        .option("--key-variable <name>", "with --url, the variable that holds the agent's key")
        .option("--settings <file>", "the settings to change", ".claude/settings.json")
        .option("--yes", "write them")
        .action(install),
    );
