/**
 * The hook of Claude Code: an event comes in as JSON, the PDP is asked, and what goes out is what the host documents.
 * Whatever goes wrong blocks the call: exit code 2 does, every other failure of a hook does not.
 */
import { resolve } from "node:path";
import { isObject, JsonError, type JsonObject, parseJson } from "../../kit/json.ts";
import type { Client } from "../client.ts";
import type { Denial } from "../decision.ts";
import type { GateOptions } from "../mcp/desk.ts";
import { questionOf } from "../mcp/question.ts";
import type { Question } from "../question.ts";

export type HookOptions = {
  /** Must fulfil obligations of the type `ask_user`. */
  client: Client;
  agent: GateOptions["agent"];
  user?: string | undefined;
  /** Names the host's own tools' server in questions. */
  server: string;
  /** Arguments that stand in the question, besides `path`. */
  arguments?: readonly string[] | undefined;
};

/** What the process says, and its exit code. */
export type HookAnswer = { exitCode: 0 | 2; stdout?: JsonObject; stderr?: string };

/** A permit under this obligation is put before the person at the host. */
export const askUserObligation = "ask_user";

const quiet: ReadonlySet<unknown> = new Set(["SessionStart", "SessionEnd", "SubagentStart", "SubagentStop"]);

/** An agent that may act no longer: its host is told to stop, not only refused. */
const stopped: ReadonlySet<string> = new Set(["agent_suspended", "agent_revoked", "agent_expired"]);

const failed = (why: string): HookAnswer => ({
  exitCode: 2,
  stderr: `remit: ${why}; the call is blocked, do not retry it`,
});

/** `mcp__SERVER__TOOL` is a tool of an MCP server; every other is the host's own. */
const toolOf = (name: string, own: string): { server: string; tool: string } => {
  const [, server, tool] = /^mcp__(.+?)__(.+)$/.exec(name) ?? [];
  return server === undefined || tool === undefined ? { server: own, tool: name } : { server, tool };
};

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** The path that a tool is called with, whole, as the host will take it. */
const pathIn = (input: JsonObject, cwd: string | undefined): JsonObject => {
  const given = textOf(input["file_path"]) ?? textOf(input["notebook_path"]) ?? textOf(input["path"]);
  return given === undefined ? {} : { path: resolve(cwd ?? "/", given) };
};

/** The question that a tool's use is; a text says why there is none. A sub-agent is a run below its session's. */
const questionIn = (event: JsonObject, options: HookOptions, dryRun: boolean): Question | string => {
  const { session_id, agent_id, tool_name, tool_input, cwd } = event;
  const session = textOf(session_id);
  const name = textOf(tool_name);
  const child = textOf(agent_id);
  if (session === undefined || name === undefined || !isObject(tool_input))
    return "the event has no `session_id`, `tool_name` or `tool_input`";
  if (agent_id !== undefined && child === undefined) return "`agent_id` is no text";
  const { server, tool } = toolOf(name, options.server);
  const question = questionOf(
    {
      agent: options.agent,
      user: options.user,
      server,
      run: child === undefined ? session : `${session}/${child}`,
      ...(child === undefined ? {} : { parentRun: session }),
      arguments: ["path", ...(options.arguments ?? [])],
    },
    "tools/call",
    { name: tool, arguments: { ...tool_input, ...pathIn(tool_input, textOf(cwd)) } },
    dryRun,
  );
  return typeof question === "string" ? "the event names no tool" : question;
};

const reasonOf = ({ message }: Denial): string => {
  const ended = `${message.replace(/\.$/, "")}.`;
  return /retry/i.test(message) ? ended : `${ended} Do not retry.`;
};

const decided = (permissionDecision: "deny" | "ask", permissionDecisionReason: string): HookAnswer => ({
  exitCode: 0,
  stdout: {
    hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision, permissionDecisionReason },
  },
});

const beforeTool = async (event: JsonObject, options: HookOptions): Promise<HookAnswer> => {
  const question = questionIn(event, options, false);
  if (typeof question === "string") return failed(question);
  const grant = await options.client.open(question);
  if (!grant.decision)
    return grant.source === "pdp"
      ? decided("deny", reasonOf(grant))
      : failed(`the call could not be authorized (${grant.reason})`);
  // Another process will see the tool end, so what was reserved is charged now.
  await grant.finish();
  const ask = grant.permit.obligations.find(({ type }) => type === askUserObligation);
  // Saying `allow` would skip the host's own prompts.
  if (ask === undefined) return { exitCode: 0 };
  return decided("ask", textOf(ask.properties?.["message"]) ?? "The policy asks for your consent.");
};

const afterTool = async (event: JsonObject, options: HookOptions): Promise<HookAnswer> => {
  const question = questionIn(event, options, true);
  if (typeof question === "string") return failed(question);
  const decision = await options.client.evaluate(question);
  return !decision.decision && stopped.has(decision.reason)
    ? { exitCode: 0, stdout: { continue: false, stopReason: decision.message } }
    : { exitCode: 0 };
};

/** Answers one event. Never rejects. */
export const answerClaudeCode = async (text: string, options: HookOptions): Promise<HookAnswer> => {
  try {
    const event = parseJson(text);
    if (!isObject(event)) return failed("the event is no object");
    const name = event["hook_event_name"];
    if (name === "PreToolUse") return await beforeTool(event, options);
    if (name === "PostToolUse") return await afterTool(event, options);
    return quiet.has(name) ? { exitCode: 0 } : failed("this event is not known");
  } catch (error) {
    return failed(error instanceof JsonError ? "the event is not strict JSON" : "the hook failed");
  }
};
