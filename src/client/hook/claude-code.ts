/**
 * The hook of Claude Code: an event comes in as JSON, the PDP is asked, and what goes out is what the host documents.
 * Whatever goes wrong blocks the call: exit code 2 does, every other failure of a hook does not.
 */
import { resolve } from "node:path";
import { isObject, JsonError, type JsonObject, parseJson } from "../../kit/json.ts";
import type { Client } from "../client.ts";
import { type Denial, isStopped } from "../decision.ts";
import type { OpenGrant } from "../grant.ts";
import type { GateOptions } from "../mcp/desk.ts";
import { questionOf } from "../mcp/question.ts";
import type { OutcomeReporter } from "../outcomes.ts";
import type { Question } from "../question.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

export type HookOptions = {
  /** Must fulfil obligations of the type `ask_user`. */
  client: Client;
  agent: GateOptions["agent"];
  user?: string | undefined;
  /** Names the host's own tools' server in questions. */
  server: string;
  /** Arguments that stand in the question, besides `path`. */
  arguments?: readonly string[] | undefined;
  /** What is known of calls between their beginning and their end. */
  calls: OpenCalls;
  outcomes: Pick<OutcomeReporter, "report">;
};

/** What the process says, and its exit code. */
export type HookAnswer = { exitCode: 0 | 2; stdout?: JsonObject; stderr?: string };

/** A permit under this obligation is put before the person at the host. */
export const askUserObligation = "ask_user";

const quiet: ReadonlySet<unknown> = new Set(["SessionStart", "SubagentStart", "SubagentStop"]);

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

const reasonOf = ({ reason, message }: Denial): string => {
  // What is held is given back by others.
  if (reason === "budget_held") return message;
  const ended = `${message.replace(/\.$/, "")}.`;
  return /retry/i.test(message) ? ended : `${ended} Do not retry.`;
};

const decided = (permissionDecision: "deny" | "ask", permissionDecisionReason: string): HookAnswer => ({
  exitCode: 0,
  stdout: {
    hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision, permissionDecisionReason },
  },
});

/** A slot among those that run at once is kept until the tool's end is seen; all else that was reserved is charged now. */
const keepOpen = async (
  { session_id, tool_use_id }: JsonObject,
  { permit: { decisionId, hold }, finish }: OpenGrant,
  { calls }: HookOptions,
): Promise<void> => {
  const [session, use] = [textOf(session_id), textOf(tool_use_id)];
  // A hold that is known by its id alone may be of such a slot.
  const running =
    hold !== undefined && (hold.amounts === undefined || Object.hasOwn(hold.amounts, "concurrent"));
  const open: OpenCall = { decision: decisionId, ...(running ? { hold: hold.id } : {}) };
  const kept = session !== undefined && use !== undefined && (await calls.keep(session, use, open));
  if (!kept || !running) await finish();
};

/** What it held is charged in full, as nobody says what was consumed. Where that fails, the hold lapses. */
const settle = async ({ client }: HookOptions, { hold }: OpenCall): Promise<void> => {
  if (hold !== undefined) await client.holds.settle(hold, { amounts: {} }).catch(() => undefined);
};

const beforeTool = async (event: JsonObject, options: HookOptions): Promise<HookAnswer> => {
  const question = questionIn(event, options, false);
  if (typeof question === "string") return failed(question);
  const grant = await options.client.open(question);
  if (!grant.decision)
    return grant.source === "pdp"
      ? decided("deny", reasonOf(grant))
      : failed(`the call could not be authorized (${grant.reason})`);
  await keepOpen(event, grant, options);
  const ask = grant.permit.obligations.find(({ type }) => type === askUserObligation);
  // Saying `allow` would skip the host's own prompts.
  if (ask === undefined) return { exitCode: 0 };
  return decided("ask", textOf(ask.properties?.["message"]) ?? "The policy asks for your consent.");
};

const afterTool = async (
  event: JsonObject,
  options: HookOptions,
  outcome: "succeeded" | "failed",
): Promise<HookAnswer> => {
  const [session, use] = [textOf(event["session_id"]), textOf(event["tool_use_id"])];
  const call =
    session === undefined || use === undefined ? undefined : await options.calls.take(session, use);
  if (call !== undefined) {
    options.outcomes.report(call.decision, { outcome });
    await settle(options, call);
  }
  const question = questionIn(event, options, true);
  if (typeof question === "string") return failed(question);
  const decision = await options.client.evaluate(question);
  return !decision.decision && isStopped(decision)
    ? { exitCode: 0, stdout: { continue: false, stopReason: decision.message } }
    : { exitCode: 0 };
};

/** Calls whose end nobody saw run no more; whether they succeeded nobody can say. */
const afterSession = async ({ session_id }: JsonObject, options: HookOptions): Promise<HookAnswer> => {
  const left = await options.calls.takeAll(textOf(session_id) ?? "");
  await Promise.all(left.map((call) => settle(options, call)));
  return { exitCode: 0 };
};

/** Answers one event. Never rejects. */
export const answerClaudeCode = async (text: string, options: HookOptions): Promise<HookAnswer> => {
  try {
    const event = parseJson(text);
    if (!isObject(event)) return failed("the event is no object");
    const name = event["hook_event_name"];
    if (name === "PreToolUse") return await beforeTool(event, options);
    if (name === "PostToolUse") return await afterTool(event, options, "succeeded");
    if (name === "PostToolUseFailure") return await afterTool(event, options, "failed");
    if (name === "SessionEnd") return await afterSession(event, options);
    return quiet.has(name) ? { exitCode: 0 } : failed("this event is not known");
  } catch (error) {
    return failed(error instanceof JsonError ? "the event is not strict JSON" : "the hook failed");
  }
};
