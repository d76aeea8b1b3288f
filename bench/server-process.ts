/** A server under load, as a process of its own: started, asked for the CPU time and memory it used, stopped. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type ServerProcess = {
  url: string;
  /** CPU time of all its threads so far, in microseconds; NaN where the kernel has no `/proc`. */
  cpuMicros: () => number;
  /** What it holds in memory now; NaN where the kernel has no `/proc`. */
  residentBytes: () => number;
  stop: () => Promise<void>;
};

/** How to start a server and to know where it is. */
export type Launch = {
  command: string;
  args: readonly string[];
  cwd: string;
  env?: Record<string, string>;
  stderr?: "inherit" | "ignore";
  /** Where it will be, and the path that answers 200 once it is there; else it says `listens on URL` itself. */
  at?: { url: string; health: string };
};

/** Linux counts in ticks of 10 ms for every architecture. */
const microsPerTick = 10_000;

const cpuMicrosOf = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command's name and may hold spaces; utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * microsPerTick;
  } catch {
    return Number.NaN;
  }
};

const residentBytesOf = (pid: number): number => {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes ?? Number.NaN) * 1024;
  } catch {
    return Number.NaN;
  }
};

/** A port that nobody listens on now. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
};

/** Gives its address once it is well. @throws Error when it doesn't get well */
const healthy = async ({ url, health }: { url: string; health: string }): Promise<string> => {
  for (let tries = 0; tries < 2000; tries++) {
    if ((await fetch(`${url}${health}`).catch(() => undefined))?.ok) return url;
    await sleep(5);
  }
  throw new Error(`${url}${health} doesn't get well`);
};

/** Starts a server and waits until it is there. @throws Error when it ends before that */
export const launch = async ({ command, args, cwd, env, stderr, at }: Launch): Promise<ServerProcess> => {
  // Nothing of the environment of whoever measures configures what is measured.
  const child = spawn(command, args, {
    cwd,
    env: { REMIT_LOG_LEVEL: "error", ...env },
    stdio: ["ignore", "pipe", stderr ?? "inherit"],
  });
  const exited = once(child, "exit");
  let text = "";
  const listening = new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (at !== undefined) return;
      text += chunk.toString();
      const [, url] = /listens on (http:\S+)/.exec(text) ?? [];
      if (url !== undefined) resolve(url);
    });
    child.on("exit", () => {
      reject(new Error(`the server ended before it listened: ${command} ${args.join(" ")}\n${text}`));
    });
  });
  const url = await (at === undefined ? listening : Promise.race([listening, healthy(at)]));
  const pid = child.pid!;
  return {
    url,
    cpuMicros: () => cpuMicrosOf(pid),
    residentBytes: () => residentBytesOf(pid),
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
};

/** Starts Node with `args` and waits until it says where it listens. @throws Error when it ends before that */
export const startServer = (
  args: readonly string[],
  cwd: string,
  stderr: "inherit" | "ignore" = "inherit",
): Promise<ServerProcess> => launch({ command: process.execPath, args, cwd, stderr });
