/**
 * A new author's first ten minutes, as the document tells them: the built command in an empty folder, a service of their
 * own, and a rule from its first mistake to its rollback.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { repository, tempDir } from "../conformance-tests/service.ts";
import { address, blocksOf, expectShown, folderOfCommands, main } from "./documents.test-parts.ts";

const path = "docs/first-ten-minutes.md";
const dir = tempDir();
const bin = folderOfCommands();
const env = { PATH: `${bin}:${process.env["PATH"]}` };
let service: ChildProcess | undefined;
afterAll(async () => {
  if (service !== undefined && service.exitCode === null) {
    const ended = once(service, "exit");
    service.kill("SIGTERM");
    await ended;
  }
  for (const folder of [dir, bin]) rmSync(folder, { recursive: true, force: true });
});

/** `remit serve` in the other terminal, on a free port; gives its URL. */
const serve = async (cwd: string): Promise<string> => {
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0"], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  service = child;
  let text = "";
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const [, url] = /listens on (http:\S+)/.exec(text) ?? [];
      if (url !== undefined) resolve(url);
    });
    child.once("exit", () => reject(new Error(`the service ended before it listened: ${text}`)));
  });
};

test("from an empty folder to a rule in force and back, as shown", { timeout: 240_000 }, async () => {
  const blocks = blocksOf(readFileSync(join(repository, path), "utf8")).filter(
    ({ language }) => language === "sh",
  );
  let cwd = dir;
  let url = address;
  let commands = 0;
  for (const block of blocks) {
    if (block.text.trim() === "remit serve") {
      url = await serve(cwd);
      continue;
    }
    // The next block goes on where this one has gone to.
    const script = `${block.text.replaceAll(address, url)}\nprintf '\\n%s' "$PWD"`;
    const { stdout } = await promisify(execFile)("sh", ["-ec", script], { cwd, env });
    const end = stdout.lastIndexOf("\n");
    cwd = stdout.slice(end + 1);
    expectShown(path, block, stdout.slice(0, end).replaceAll(url, address));
    commands += block.text.match(/^remit /gm)?.length ?? 0;
  }
  expect(commands).toBeGreaterThan(9);
  expect(service).toBeDefined();
});
