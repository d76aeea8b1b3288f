/** A server under load, as a process of its own: started, asked for the CPU time it used, stopped. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

export type ServerProcess = {
  url: string;
  /** CPU time of all its threads so far, in microseconds; NaN where the kernel has no `/proc`. */
  cpuMicros: () => number;
  stop: () => Promise<void>;
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

/** Starts Node with `args` and waits until it says where it listens. @throws Error when it ends before that */
export const startServer = async (
  args: readonly string[],
  cwd: string,
  stderr: "inherit" | "ignore" = "inherit",
): Promise<ServerProcess> => {
  // Nothing of the environment of whoever measures configures what is measured.
  const child = spawn(process.execPath, args, {
    cwd,
    env: { REMIT_LOG_LEVEL: "error" },
    stdio: ["ignore", "pipe", stderr],
  });
  const exited = once(child, "exit");
  let text = "";
  const listening = new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const [, url] = /listens on (http:\S+)/.exec(text) ?? [];
      if (url !== undefined) resolve(url);
    });
    child.on("exit", () =>
      reject(new Error(`the server ended before it listened: ${args.join(" ")}\n${text}`)),
    );
  });
  const url = await listening;
  const pid = child.pid!;
  return {
    url,
    cpuMicros: () => cpuMicrosOf(pid),
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
};
