/** What a newcomer does: clone, `npm ci`, `npm start`, and ask what the README and the service tell to ask. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { post, repository, tempDir, until } from "../conformance-tests/service.ts";
import { succeeds, titleOf } from "./requirement.ts";

/** npm tells its scripts about this checkout; the clone is to be found as if nobody had. */
const cleanEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_(package|lifecycle|config_local_prefix)|REMIT_|INIT_CWD|NODE_|VITEST)/.test(name),
    ),
  );

const findMissing = (): string | undefined => {
  if (!succeeds("git", ["-C", repository, "rev-parse", "HEAD"])) return "needs git and a repository";
  const registry = succeeds("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=10000"]);
  return registry ? undefined : "needs a package registry within reach";
};

const missing = findMissing();

/** The bodies of the `curl` commands of a text that ask for one evaluation. */
const questionsIn = (text: string): string[] =>
  [...text.matchAll(/\/access\/v1\/evaluation[^s][^']*?-d\s*'(\{[^']*\})'/g)].map(([, body]) => body!);

const end = async (child: ChildProcess): Promise<void> => {
  const exited = once(child, "exit");
  // The shell, npm and the service are one group; npm alone would leave the service behind if it were slow.
  process.kill(-child.pid!, "SIGTERM");
  await exited;
};

test(
  titleOf(
    missing,
    "a fresh clone installs, builds and starts with two commands, and answers the request it is introduced with",
  ),
  { skip: missing !== undefined, timeout: 300_000 },
  async () => {
    const dir = tempDir();
    const clone = join(dir, "clone");
    execFileSync("git", ["clone", "--quiet", "--no-hardlinks", repository, clone]);
    const options = { cwd: clone, env: cleanEnvironment() };
    execFileSync("npm", ["ci"], { ...options, stdio: "pipe", timeout: 180_000 });
    const child = spawn("npm", ["start", "--", "--listen", "127.0.0.1:0"], { ...options, detached: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    try {
      await until(() => /\ntry: .*\n/.test(output) || child.exitCode !== null, 60_000);
      const url = /listens on (http:\S+)/.exec(output)?.[1];
      if (url === undefined) throw new Error(`the service did not come up:\n${output}`);
      const readme = join(clone, "README.md");
      const introductions = [output, ...(existsSync(readme) ? [readFileSync(readme, "utf8")] : [])];
      for (const introduction of introductions) {
        const [first] = questionsIn(introduction);
        if (first === undefined) throw new Error(`no request to try in:\n${introduction}`);
        const { status, body } = await post(`${url}/access/v1/evaluation`, first);
        expect({ status, body }).toEqual({ status: 200, body: { decision: true } });
      }
    } finally {
      await end(child);
    }
    const untracked = execFileSync("git", ["status", "--porcelain"], { cwd: clone }).toString();
    expect(untracked).toBe("");
    rmSync(dir, { recursive: true });
  },
);
