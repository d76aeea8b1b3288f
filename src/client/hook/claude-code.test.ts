/** A scripted session of Claude Code, with the documented events, through the hook as a process, against a real service. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository, tempDir, until } from "../../../conformance-tests/service.ts";
import { fileWith, main, pack, startToolStage, type ToolStage } from "../mcp/stage.test-parts.ts";
import { withHook } from "./settings.ts";

type Said = { code: number | null; out: Record<string, any> | undefined; err: string };

const run = async (args: string[], input: string | undefined, cwd = repository): Promise<Said> => {
  const child = spawn(process.execPath, [main, "hook", ...args], { cwd });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  child.stdin.on("error", () => {});
  if (input !== undefined) child.stdin.end(input);
  await once(child, "close");
  return {
    code: child.exitCode,
    out: out === "" ? undefined : (JSON.parse(out) as Record<string, any>),
    err,
  };
};

const permitted: Said = { code: 0, out: undefined, err: "" };
const denied = (reason: string) => ({
  code: 0,
  err: "",
  out: {
    hookSpecificOutput: {
      hookEventName: "PreToolUse",
      permissionDecision: "deny",
      permissionDecisionReason: expect.stringContaining(reason),
    },
  },
});

const state = join(tempDir(), "state");

describe("a session of a coding agent", () => {
  let stage: ToolStage;
  beforeAll(async () => {
    const text = readFileSync(join(pack, "policies/budgets.yaml"), "utf8");
    const policies = readFileSync(join(pack, "policies/files.cedar"), "utf8");
    const asking = `@id("ask-for-notebooks")
@obligation("ask_user")
@obligation_properties("{\\"message\\": \\"Change a notebook?\\"}")
permit (principal is Agent, action == Action::"tools/call", resource == Tool::"NotebookEdit");
@id("fetches-pages")
permit (principal == Agent::"agents/coder", action == Action::"tools/call", resource == Tool::"WebFetch");\n`;
    const slots = `  - { id: agent-slots, unit: concurrent, limit: 1, per: [agent], window: lifetime,
      for: { action: [tools/call], where: { resource.kind: [network] } } }\n`;
    stage = await startToolStage({
      "policies/budgets.yaml": text
        .replace("children: 8", "children: 2")
        .replace("budgets:\n", `budgets:\n${slots}`),
      "policies/files.cedar": `${policies}\n${asking}`,
    });
  });
  afterAll(() => stage.close());

  const hook = (event: Record<string, unknown>, ...options: string[]): Promise<Said> =>
    run(
      ["claude-code", "--agent", "agents/coder", "--pdp", stage.service.url]
        .concat("--pdp-key-file", stage.callerKeyFile, "--state", state)
        .concat(options),
      JSON.stringify({
        transcript_path: "/tmp/t.jsonl",
        cwd: "/workspace",
        permission_mode: "default",
        hook_event_name: "PreToolUse",
        ...event,
      }),
    );
  let uses = 0;
  const use = (session: string, tool_name: string, tool_input: object, more: object = {}): Promise<Said> =>
    hook({ session_id: session, tool_name, tool_input, tool_use_id: `toolu_${++uses}`, ...more });

  test("reads and writes in its workspace, and is told why it may not elsewhere", async () => {
    expect(await hook({ session_id: "a", hook_event_name: "SessionStart", source: "startup" })).toEqual(
      permitted,
    );
    expect(await use("a", "Read", { file_path: "/workspace/a.ts" })).toEqual(permitted);
    expect(await use("a", "Write", { file_path: "/workspace/b.ts", content: "x" })).toEqual(permitted);
    expect(await use("a", "Write", { file_path: "b.ts", content: "x" })).toEqual(permitted);
    const outside = denied("below /workspace only. Do not retry.");
    expect(await use("a", "Write", { file_path: "../etc/passwd", content: "x" })).toEqual(outside);
    expect(await use("a", "Bash", { command: "ls" })).toEqual(denied("not permitted"));
  });

  test("uses tools of MCP servers by the servers' names", async () => {
    expect(await use("b", "mcp__files__read_file", { path: "/workspace/a" })).toEqual(permitted);
    expect(await use("b", "mcp__web__read_file", { path: "/workspace/a" })).toEqual(denied("not permitted"));
  });

  test("is put before its user where the policy asks for consent", async () => {
    expect(await use("c", "NotebookEdit", { notebook_path: "/workspace/n.ipynb" })).toMatchObject({
      code: 0,
      out: {
        hookSpecificOutput: { permissionDecision: "ask", permissionDecisionReason: "Change a notebook?" },
      },
    });
  });

  test("is stopped at the third identical call", async () => {
    const grep = { pattern: "TODO", path: "/workspace" };
    expect(await use("d", "Grep", grep)).toEqual(permitted);
    expect(await use("d", "Grep", grep)).toEqual(permitted);
    expect(await use("d", "Grep", grep)).toEqual(denied("The same was asked again and again."));
    expect(await use("d", "Grep", { ...grep, pattern: "FIXME" })).toEqual(permitted);
  });

  test("has no more sub-agents than its session may have", async () => {
    const inChild = (agent_id: string): Promise<Said> =>
      use("e", "Read", { file_path: `/workspace/${agent_id}` }, { agent_id, agent_type: "Explore" });
    expect(await inChild("one")).toEqual(permitted);
    expect(await inChild("two")).toEqual(permitted);
    expect(await inChild("three")).toEqual(denied("This run has reached its limits."));
    expect(await inChild("one")).toEqual(permitted);
  });

  const outcomesOf = async (): Promise<string[]> => {
    const key = readFileSync(join(stage.service.config.data, "admin.key"), "utf8").trim();
    const response = await fetch(`${stage.service.url}/v1/ledger/entries?kind=outcome&order=desc&limit=2`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const { entries } = (await response.json()) as { entries: { facts: { outcome: string } }[] };
    return entries.map(({ facts }) => facts.outcome);
  };
  const ended = (session_id: string, tool_use_id: string, hook_event_name: string): Promise<Said> =>
    hook({
      session_id,
      tool_use_id,
      hook_event_name,
      tool_name: "Read",
      tool_input: { file_path: "/workspace/o" },
    });

  test("has the end of each tool that was permitted in the ledger, whether it worked or not", async () => {
    const read = { file_path: "/workspace/o" };
    await use("o", "Read", read, { tool_use_id: "one" });
    await use("o", "Read", { file_path: "/workspace/p" }, { tool_use_id: "two" });
    expect(await ended("o", "one", "PostToolUse")).toEqual(permitted);
    expect(await ended("o", "two", "PostToolUseFailure")).toEqual(permitted);
    expect(await outcomesOf()).toEqual(["failed", "succeeded"]);
    // An end that nobody knows the beginning of is nothing to report.
    expect(await ended("o", "one", "PostToolUse")).toEqual(permitted);
    expect(await ended("p", "two", "PostToolUse")).toEqual(permitted);
    expect(await outcomesOf()).toEqual(["failed", "succeeded"]);
  });

  test("keeps its slot until the tool has ended, or its session", async () => {
    const running = (session: string, id: string): Promise<Said> =>
      use(session, "WebFetch", { url: `https://example.com/${id}` }, { tool_use_id: id });
    expect(await running("s", "1")).toEqual(permitted);
    const taken = await running("s", "2");
    expect(taken).toEqual(denied("Try again in"));
    expect(JSON.stringify(taken.out)).not.toContain("Do not retry");
    expect(await ended("s", "1", "PostToolUse")).toEqual(permitted);
    expect(await running("s", "3")).toEqual(permitted);
    expect(await running("t", "4")).toEqual(denied("Try again in"));
    expect(await hook({ session_id: "s", hook_event_name: "SessionEnd", reason: "exit" })).toEqual(permitted);
    expect(await running("t", "5")).toEqual(permitted);
  });

  describe("over HTTP", () => {
    let url: string;
    let server: ChildProcess;
    beforeAll(async () => {
      const key = fileWith(String((await stage.admin("/v1/agents/agents%2Fcoder/keys", {}))["key"]));
      agentKey = readFileSync(key, "utf8");
      const args = ["hook", "serve", "--listen", "127.0.0.1:0", "--pdp", stage.service.url];
      server = spawn(
        process.execPath,
        [main, ...args, "--pdp-key-file", stage.callerKeyFile, "--state", state, "--deadline-ms", "20000"],
        { cwd: repository },
      );
      let out = "";
      server.stdout!.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until(() => out.includes("/hooks/claude-code"));
      url = /http:\S+/.exec(out)![0];
    });
    afterAll(async () => {
      server.kill("SIGTERM");
      await once(server, "exit");
    });
    let agentKey: string;
    const post = async (
      event: object | string,
      headers: Record<string, string> = {},
    ): Promise<Record<string, any>> => {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${agentKey}`, "content-type": "application/json", ...headers },
        body: typeof event === "string" ? event : JSON.stringify(event),
      });
      // The host takes every other status for a hook that has nothing against the call.
      expect(response.status).toBe(200);
      return (await response.json()) as Record<string, any>;
    };
    const before = (file_path: string, more: object = {}): object => ({
      session_id: "h",
      cwd: "/workspace",
      hook_event_name: "PreToolUse",
      tool_name: "Write",
      tool_input: { file_path, content: "x" },
      tool_use_id: file_path,
      ...more,
    });
    const blocked = (reason: string): object => ({
      hookSpecificOutput: {
        permissionDecision: "deny",
        permissionDecisionReason: expect.stringContaining(reason),
      },
    });

    test("it is answered as on the command line, and the end of a tool is reported", async () => {
      expect(await post(before("/workspace/h"))).toEqual({});
      expect(await post(before("/etc/passwd"))).toMatchObject(blocked("below /workspace only"));
      expect(await post(before("/workspace/h", { hook_event_name: "PostToolUse" }))).toEqual({});
      await until(async () => (await outcomesOf())[0] === "succeeded");
      for (const hook_event_name of ["SessionStart", "SubagentStart", "SubagentStop", "SessionEnd"])
        expect(await post({ session_id: "h", hook_event_name })).toEqual({});
    });

    test.each<[string, object | string, Record<string, string>]>([
      ["no agent's key", before("/workspace/i"), { authorization: "Bearer nobody" }],
      ["no key", before("/workspace/i"), { authorization: "" }],
      ["no JSON", "{", {}],
      ["another type", before("/workspace/i"), { "content-type": "text/plain" }],
      ["a page's origin", before("/workspace/i"), { origin: "https://evil.example" }],
      ["an unknown event", before("/workspace/i", { hook_event_name: "PreToolUse2" }), {}],
      ["no tool", { session_id: "h", hook_event_name: "PreToolUse" }, {}],
    ])("with %s it blocks", async (_what, event, headers) => {
      expect(await post(event, headers)).toMatchObject({ decision: "block", ...blocked("blocked") });
    });
  });

  test("is stopped by the kill switch at its next call, and told to end after the one that runs", async () => {
    const read = { file_path: "/workspace/a.ts" };
    const after = { session_id: "f", hook_event_name: "PostToolUse", tool_name: "Read", tool_input: read };
    expect(await use("f", "Read", read)).toEqual(permitted);
    expect(await hook(after)).toEqual(permitted);
    await stage.admin("/v1/kill", { target: { agent: "agents/coder" }, action: "suspend", reason: "test" });
    expect(await hook(after)).toMatchObject({ code: 0, out: { continue: false } });
    expect(await use("f", "Read", { file_path: "/workspace/c.ts" })).toEqual(denied("not permitted"));
  });
});

describe("a hook that can't ask blocks the call", () => {
  const event = JSON.stringify({
    session_id: "s",
    hook_event_name: "PreToolUse",
    tool_name: "Read",
    tool_input: { file_path: "/a" },
  });
  const blocked = { code: 2, out: undefined, err: expect.stringContaining("blocked") };
  const asking = ["claude-code", "--agent", "a", "--pdp", "http://127.0.0.1:9"];

  test.each<[string, string]>([
    ["no PDP", event],
    ["no JSON", "{"],
    ["two tools of one name", event.replace('"tool_name"', '"tool_name":"Glob","tool_name"')],
    ["no tool", '{"session_id":"s","hook_event_name":"PreToolUse"}'],
    ["an unknown event", event.replace("PreToolUse", "PreToolUse2")],
    ["nothing at all", ""],
  ])("with %s", async (_what, input) => {
    expect(await run(asking, input)).toEqual(blocked);
  });

  test("with a key file that isn't there", async () => {
    expect(await run([...asking, "--agent-key-file", join(tempDir(), "none")], event)).toEqual(blocked);
  });

  test("with options that are wrong", async () => {
    expect((await run(["claude-code", "--agnet", "a"], event)).code).toBe(2);
  });

  test("within its own deadline, when the PDP is silent or the host sends nothing", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => {
      silent.listen(0, "127.0.0.1", resolve);
    });
    const pdp = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const options = ["claude-code", "--agent", "a", "--deadline-ms", "1000", "--pdp", pdp];
    try {
      expect(await run(options, event)).toEqual(blocked);
      expect(await run(options, undefined)).toEqual(blocked);
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });
});

describe("the installation", () => {
  test("is shown first, written after --yes, and leaves all else as it was", async () => {
    const before = {
      model: "m",
      hooks: {
        Stop: [{ hooks: [] }],
        PreToolUse: [{ matcher: "Bash", hooks: [{ type: "command", command: "own" }] }],
      },
    };
    const settings = fileWith(JSON.stringify(before));
    const options = ["install", "--agent", "it's", "--settings", settings];
    const shown = await run(options, "");
    expect(JSON.parse(readFileSync(settings, "utf8"))).toEqual(before);
    const written = await run([...options, "--yes"], "");
    expect(written.out).toEqual(shown.out);
    expect(JSON.parse(readFileSync(settings, "utf8"))).toEqual(shown.out);
    expect(existsSync(`${settings}.new`)).toBe(false);
    expect(shown.out).toMatchObject({ model: "m", hooks: { Stop: before.hooks.Stop } });
    const command = `remit hook claude-code --agent 'it'\\''s' --server claude-code --pdp http://127.0.0.1:8181 || exit 2`;
    expect(shown.out!["hooks"]["PreToolUse"]).toEqual([
      before.hooks.PreToolUse[0],
      { matcher: "*", hooks: [{ type: "command", command, timeout: 30 }] },
    ]);
  });

  test("calls the endpoint where its address is given, and blocks where nobody answers", () => {
    const url = "http://127.0.0.1:8185/hooks/claude-code";
    const settings = withHook(withHook({}, { command: "remit hook claude-code --agent a" }), {
      url,
      keyVariable: "KEY",
    });
    const hook = {
      type: "http",
      url,
      timeout: 30,
      onFailure: "block",
      headers: { Authorization: "Bearer $KEY" },
      allowedEnvVars: ["KEY"],
    };
    expect(settings["hooks"]).toEqual({
      PreToolUse: [{ matcher: "*", hooks: [hook] }],
      PostToolUse: [{ matcher: "*", hooks: [hook] }],
      PostToolUseFailure: [{ matcher: "*", hooks: [hook] }],
      SessionEnd: [{ hooks: [hook] }],
    });
  });

  test("twice is the same as once", () => {
    const once = withHook({}, { command: "remit hook claude-code --agent a" });
    expect(withHook(once, { command: "remit hook claude-code --agent a" })).toEqual(once);
  });
});
