/** The built service as a child process on folders of its own, seen as its operator sees it. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { repository, until } from "../conformance-tests/service.ts";

const main = join(repository, "dist/cli/main.js");

export type BuiltService = {
  url: string;
  ready: () => Promise<boolean>;
  /** Tells it to stop, if it still runs, and gives its exit code. */
  stop: () => Promise<number | null>;
};

/** A question that the repository's policies answer with a permit. */
export const question: unknown = {
  subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: "read" },
  resource: { type: "Website", id: "https://www.acme.example" },
};

/** Starts the service on the repository's policies; it stops with the test at the latest. @throws Error with its output when it doesn't come up */
export const startBuilt = async (data: string, env: Record<string, string> = {}): Promise<BuiltService> => {
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0", "--data", data], {
    cwd: repository,
    env: { REMIT_LOG_LEVEL: "error", ...env },
  });
  const exited = once(child, "exit");
  const stop = async (): Promise<number | null> => {
    child.kill("SIGTERM");
    await exited;
    return child.exitCode;
  };
  onTestFinished(async () => void (await stop()));
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await until(() => /listens on http:\S+/.test(output) || child.exitCode !== null);
  const url = /listens on (http:\S+)/.exec(output)?.[1];
  if (url === undefined) throw new Error(`the service did not come up:\n${output}`);
  return {
    url,
    ready: async () => (await fetch(`${url}/readyz`)).status === 200,
    stop,
  };
};

/** The ledger's entries, oldest first, as the command line lists them. */
export const listEntries = (data: string): { index: number; id: string; kind: string }[] =>
  JSON.parse(
    execFileSync(process.execPath, [main, "ledger", "list", "--data", data, "--format", "json"], {
      cwd: repository,
      maxBuffer: 1 << 28,
    }).toString(),
  ) as { index: number; id: string; kind: string }[];

/** What verifying the ledger says. @throws Error where something is wrong with it */
export const verifyBuilt = (data: string): string =>
  execFileSync(
    process.execPath,
    [main, "ledger", "verify", "--data", data, "--key", join(data, "ledger.pub")],
    {
      cwd: repository,
    },
  ).toString();
