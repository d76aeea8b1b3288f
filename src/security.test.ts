/** The threat model names the tests that guard each trust boundary: they must be there, under these titles, and not skipped. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repository } from "../conformance-tests/service.ts";

const [, model = ""] = readFileSync(join(repository, "SECURITY.md"), "utf8").split("\n## Trust boundaries\n");
const boundaries = model
  .split(/^### /m)
  .slice(1)
  .map((section): [string, { path: string; title: string }[]] => [
    section.split("\n", 1)[0]!,
    [...section.matchAll(/^- `([^`]+)`: (.+)$/gm)].map(([, path, title]) => ({ path: path!, title: title! })),
  ]);

/** Whether a file has a test of this title: the whole string, given to `test` or to a table of it. */
const hasTest = (path: string, title: string): boolean => {
  if (!existsSync(join(repository, path))) return false;
  const text = readFileSync(join(repository, path), "utf8");
  const at = text.indexOf(`"${title}"`);
  // What opens the test: `test(` or the end of a table `](`, on the same line or the one before.
  return at > 0 && /(?:\btest|\]\)?|\))\(\s*$/.test(text.slice(0, at));
};

test("every trust boundary is guarded by tests", () => {
  expect(boundaries.map(([name]) => name)).toEqual([
    "Caller and service",
    "Service and database",
    "Agent and caller",
    "Policy author and service",
    "Operator and data directory",
    "Token issuers and webhooks",
    "Auditor",
  ]);
  expect(boundaries.filter(([, guards]) => guards.length === 0)).toEqual([]);
});

test.each(boundaries)("the tests that guard %s are there", (_name, guards) => {
  expect(guards.filter(({ path, title }) => !hasTest(path, title))).toEqual([]);
});

test("a test that isn't there is missed", () => {
  expect(hasTest("src/security.test.ts", "every trust boundary is guarded by tests")).toBe(true);
  expect(hasTest("src/security.test.ts", "every trust boundary")).toBe(false);
  expect(hasTest("src/no-such.test.ts", "every trust boundary is guarded by tests")).toBe(false);
});
