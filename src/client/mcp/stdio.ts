/** `remit/client/mcp`: a gate around an MCP server that is spoken to over its standard streams. */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { JsonError, type JsonObject, type JsonValue, parseJson } from "../../kit/json.ts";
import { type GateOptions, reporterFor } from "./desk.ts";
import { createGate, type Gate } from "./gate.ts";
import { linesOf } from "./lines.ts";
import { codes, errorTo } from "./message.ts";

export type StdioOptions = GateOptions & {
  command: string;
  args: readonly string[];
  /** The client's ends. */
  input: Readable;
  output: Writable;
  /** How long a message of the client may be; 4 MiB by default. */
  clientBytesMax?: number | undefined;
  /** How long a message of the server may be; 64 MiB by default. */
  serverBytesMax?: number | undefined;
  /** How long the server may take to end when the client is gone; 5000 by default. */
  graceMs?: number | undefined;
};

const usual = { clientBytesMax: 4_194_304, serverBytesMax: 67_108_864, graceMs: 5000 };

/** Writes a message, and waits while the reader is slow. A reader that is gone is no fault of ours. */
const write = async (to: Writable, message: JsonObject): Promise<void> => {
  if (to.destroyed || !to.writable) return;
  if (!to.write(`${JSON.stringify(message)}\n`)) await Promise.race([once(to, "drain"), once(to, "close")]);
};

const parseClient = (text: string): { value: JsonValue } | { fault: string } => {
  try {
    return { value: parseJson(text) };
  } catch (error) {
    const { field, message } = error instanceof JsonError ? error : { field: "", message: String(error) };
    return { fault: field === "" ? message : `${field}: ${message}` };
  }
};

type Child = ChildProcessByStdio<Writable, Readable, null>;

type Between = { gate: Gate; child: Child; options: StdioOptions };

const pumpClient = async ({ gate, child, options }: Between): Promise<void> => {
  const { input, output, clientBytesMax = usual.clientBytesMax } = options;
  for await (const line of linesOf(input, clientBytesMax)) {
    if ("fault" in line) {
      const why = line.fault === "too_long" ? `is longer than ${clientBytesMax} bytes` : "is not UTF-8";
      await write(output, errorTo(null, codes.invalidRequest, `the message ${why}`));
      continue;
    }
    const parsed = parseClient(line.text);
    if ("fault" in parsed) {
      await write(output, errorTo(null, codes.parseError, `the message is not strict JSON: ${parsed.fault}`));
      continue;
    }
    const { forward, answer } = await gate.fromClient(parsed.value);
    if (forward !== undefined) await write(child.stdin, forward);
    if (answer !== undefined) await write(output, answer);
  }
};

/** @throws Error where the server sends what can't be a message: who waits for it would wait for ever */
const pumpServer = async ({ gate, child, options }: Between): Promise<void> => {
  const { output, serverBytesMax = usual.serverBytesMax } = options;
  for await (const line of linesOf(child.stdout, serverBytesMax)) {
    if ("fault" in line) throw new Error(`a message of the server is ${line.fault.replace("_", " ")}`);
    let value: JsonValue;
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what JSON.parse gives
      value = JSON.parse(line.text) as JsonValue;
    } catch {
      options.onEvent?.({ event: "dropped", message: "the server wrote a line that is no JSON" });
      continue;
    }
    const { forward, answer } = await gate.fromServer(value);
    if (forward !== undefined) await write(output, forward);
    if (answer !== undefined) await write(child.stdin, answer);
  }
};

const stopChild = async (child: Child, graceMs: number): Promise<void> => {
  child.stdin.end();
  const gone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  for (const signal of [undefined, "SIGTERM", "SIGKILL"] as const) {
    if (gone()) return;
    if (signal !== undefined) child.kill(signal);
    const exited = once(child, "exit");
    await Promise.race([exited, sleep(graceMs, undefined, { ref: false })]);
  }
};

/**
 * Starts the server and stands between it and the client until either is gone. Gives the server's exit code, or 1 where
 * it had none or broke the protocol.
 * @throws Error where the server can't be started
 */
export const runMcpStdio = async (options: StdioOptions): Promise<number> => {
  const { command, args, output, graceMs = usual.graceMs, onEvent } = options;
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  await once(child, "spawn");
  // What the server doesn't read any longer it doesn't execute either.
  child.stdin.on("error", () => {});
  const outcomes = reporterFor(options);
  const gate = createGate({ ...options, outcomes });
  const between = { gate, child, options };
  let broken: string | undefined;
  const server = pumpServer(between).catch((error: unknown) => {
    broken = error instanceof Error ? error.message : String(error);
  });
  const exited = once(child, "exit");
  await Promise.race([pumpClient(between), server]);
  if (broken === undefined) {
    child.stdin.end();
    await Promise.race([server, sleep(graceMs, undefined, { ref: false })]);
  }
  const left = await gate.end(broken ?? "the server has ended");
  for (const message of left) await write(output, message);
  await Promise.all([stopChild(child, graceMs), outcomes.drain(graceMs)]);
  await exited;
  onEvent?.({
    event: "ended",
    message: broken ?? `the server ended with ${child.exitCode ?? child.signalCode}`,
  });
  return broken === undefined ? (child.exitCode ?? 1) : 1;
};
