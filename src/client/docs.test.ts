/** Does what docs/client.md says: writes its files, starts the service, runs each program and compares what it prints. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repository, startTestService, type TestService } from "../../conformance-tests/service.ts";

const page = readFileSync(join(repository, "docs/client.md"), "utf8");
const blocks = [...page.matchAll(/^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$/gms)].map(
  ([, language, title, text]) => ({ language, title, text: text! }),
);
/** The programs with the output that follows each. */
const programs = blocks.flatMap(({ language, title, text }, index) =>
  language === "ts" ? [[title!, text, blocks[index + 1]] as const] : [],
);

let service: TestService;
let dir: string;

beforeAll(async () => {
  // Within the package, where its own name and the frameworks are found; not in dist/, which is published.
  mkdirSync(join(repository, "coverage"), { recursive: true });
  dir = mkdtempSync(join(repository, "coverage", "docs-"));
  const files = blocks.filter(({ language, title }) => language !== "ts" && title !== undefined);
  service = await startTestService({
    dir,
    files: Object.fromEntries(files.map(({ title, text }) => [title!, text])),
  });
  for (const [title, text] of programs)
    service.write(title, text.replaceAll("http://127.0.0.1:8181", service.url));
});
afterAll(async () => {
  await service.close();
  rmSync(dir, { recursive: true, force: true });
});

test("the page has programs, and every one says what it prints", () => {
  expect(programs.length).toBeGreaterThan(7);
  for (const [title, , output] of programs) expect([title, output?.language]).toEqual([title, "text"]);
});

test.each(programs)("%s prints what the page says", async (title, _, output) => {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", join(dir, title)],
    {
      cwd: repository,
    },
  );
  expect({ stdout, stderr }).toEqual({ stdout: output!.text, stderr: "" });
});

test("the programs are typed as they stand", async () => {
  const config = {
    extends: join(repository, "tsconfig.json"),
    compilerOptions: { isolatedDeclarations: false, declaration: false },
    include: ["*.ts"],
  };
  service.write("tsconfig.json", JSON.stringify(config));
  const tsc = join(repository, "node_modules/typescript/bin/tsc");
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", dir]).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe("");
});
