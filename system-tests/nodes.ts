/**
 * The service and its tests under other versions of Node: `npm run test:nodes -- [--start-only] [20 22 24]`. Each runs
 * in a copy of the repository, on the binary that the npm package `node` brings, with native parts installed for it.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { repository, tempDir, until } from "../conformance-tests/service.ts";

const question = {
  subject: { type: "Agent", id: "spiffe://example.org/agents/a11y-auditor" },
  action: { name: "read" },
  resource: { type: "Website", id: "https://www.acme.example" },
};
const notCopied = new Set([".git", "node_modules", "dist", "data", "coverage"]);

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** What npm tells its scripts about this checkout must not reach the copy. */
const environmentWith = (home: string): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_(?!config_(?:registry|cache))|REMIT_|INIT_CWD)/i.test(name),
    ),
  ),
  PATH: `${join(home, "bin")}:${process.env["PATH"]}`,
  // Native parts are compiled against the headers of that version, whatever npm is configured to.
  npm_config_nodedir: home,
});

/** Starts the copy with `npm start`, asks it, and ends it. @throws Error with its output when that doesn't work */
const start = async (copy: string, env: NodeJS.ProcessEnv): Promise<void> => {
  const child = spawn("npm", ["start", "--", "--listen", "127.0.0.1:0"], { cwd: copy, env, detached: true });
  const exited = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  try {
    await until(() => /listens on http:\S+/.test(output) || child.exitCode !== null, 240_000);
    const url = /listens on (http:\S+)/.exec(output)?.[1];
    const answer =
      url === undefined
        ? "none"
        : await fetch(`${url}/access/v1/evaluation`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify(question),
          }).then((response) => response.text());
    if (answer !== '{"decision":true}') throw new Error(`the answer was ${answer}:\n${output}`);
  } finally {
    // npm, its shell and the service are one group.
    if (child.exitCode === null) process.kill(-child.pid!, "SIGTERM");
    await exited;
  }
};

const check = async (major: string, startOnly: boolean): Promise<void> => {
  const dir = tempDir();
  // As root, PostgreSQL runs as another user, who must get at its programs.
  chmodSync(dir, 0o755);
  try {
    const tools = join(dir, "tools");
    mkdirSync(tools);
    writeFileSync(
      join(tools, "package.json"),
      JSON.stringify({ private: true, allowScripts: { node: true } }),
    );
    execFileSync("npm", ["install", "--no-audit", "--no-fund", `node@${major}`], {
      cwd: tools,
      stdio: "pipe",
    });
    const home = join(tools, "node_modules/node/node_modules", `node-${process.platform}-${process.arch}`);
    const bin = join(home, "bin");
    const found = execFileSync(join(bin, "node"), ["--version"], { encoding: "utf8" }).trim();
    if (!found.startsWith(`v${major}.`)) throw new Error(`node@${major} brought ${found}`);
    const copy = join(dir, "copy");
    cpSync(repository, copy, {
      recursive: true,
      filter: (path) => path === repository || !notCopied.has(basename(path)),
    });
    const env = environmentWith(home);
    execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: copy, env, stdio: "pipe" });
    await start(copy, env);
    say(`${found}: npm start answers`);
    if (startOnly) return;
    execFileSync("npx", ["vitest", "run"], { cwd: copy, env, stdio: "inherit" });
    say(`${found}: all tests pass`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

const words = process.argv.slice(2);
const majors = words.filter((word) => /^\d+$/.test(word));
let failed = false;
for (const major of majors.length > 0 ? majors : ["20", "22", "24"]) {
  try {
    await check(major, words.includes("--start-only"));
  } catch (error) {
    failed = true;
    say(`Node ${major}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
process.exitCode = failed ? 1 : 0;
