/** What a user of the package does: installs the tarball into an empty folder, starts it there and asks. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { post, repository, tempDir, until } from "../conformance-tests/service.ts";
import { question } from "./built-remit.ts";
import { succeeds, titleOf } from "./requirement.ts";

const registry = succeeds("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=10000"]);
const missing = registry ? undefined : "needs a package registry within reach";

test(
  titleOf(
    missing,
    "the packed package installs into an empty folder, starts there, answers, and ends when told",
  ),
  { skip: missing !== undefined, timeout: 900_000 },
  async () => {
    const dir = tempDir();
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const run = (command: string, args: readonly string[], cwd: string): string =>
      execFileSync(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: 600_000 }).toString();
    // Its scripts would empty `dist` below other tests; the build of this run is what is packed.
    run("npm", ["pack", "--ignore-scripts", "--pack-destination", dir], repository);
    const home = join(dir, "home");
    mkdirSync(home);
    writeFileSync(
      join(home, "package.json"),
      JSON.stringify({ private: true, allowScripts: { "better-sqlite3": true } }),
    );
    run("npm", ["install", "--omit=dev", "--no-audit", "--no-fund", "../remit-0.1.0.tgz"], home);
    const installed = join(home, "node_modules/remit");
    const folders = ["policies", "schemas"].flatMap((name) => [`--${name}`, join(installed, name)]);
    const child = spawn(
      process.execPath,
      ["node_modules/.bin/remit", "serve", "--listen", "127.0.0.1:0", ...folders],
      { cwd: home, env: { PATH: process.env["PATH"] ?? "" } },
    );
    const exited = once(child, "exit");
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await until(() => /listens on http:\S+/.test(output) || child.exitCode !== null, 60_000);
    const url = /listens on (http:\S+)/.exec(output)?.[1];
    if (url === undefined) throw new Error(`the service did not come up:\n${output}`);
    expect(await post(`${url}/access/v1/evaluation`, question)).toMatchObject({
      status: 200,
      body: { decision: true },
    });
    child.kill("SIGTERM");
    await exited;
    expect(child.exitCode).toBe(0);
    const imported = `import { createClient } from "remit/client"; process.stdout.write(typeof createClient)`;
    expect(run(process.execPath, ["--input-type=module", "-e", imported], home)).toBe("function");
  },
);
