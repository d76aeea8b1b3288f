/** What `npm pack` would publish: everything that a service needs, and nothing that only its makers need. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repository } from "../conformance-tests/service.ts";

const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
  bin: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
};

/** Builds come before tests, so what is packed is there; scripts would build once more. */
const packed = (): string[] => {
  const options = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const text = execFileSync("npm", options, {
    cwd: repository,
    stdio: ["ignore", "pipe", "ignore"],
  }).toString();
  return (JSON.parse(text) as [{ files: { path: string }[] }])[0].files.map(({ path }) => path);
};

const sourceModules = (): string[] =>
  readdirSync(join(repository, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .filter((name) => !/\.(?:test|test-parts|setup|d)\.ts$/.test(name) && !name.startsWith("store/suite/"))
    .map((name) => `dist/${name.replace(/\.ts$/, "")}`);

test("the package holds every module built, every entry, and what commands hand out, and nothing else", () => {
  const files = packed();
  const modules = sourceModules();
  expect(modules.length).toBeGreaterThan(200);
  const entries = Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry),
  );
  const needed = [
    "LICENSE",
    "README.md",
    ...modules.flatMap((module) => [`${module}.js`, `${module}.d.ts`]),
    ...Object.values(manifest.bin),
    ...entries.map((path) => path.replace("./", "")),
    "schemas/remit.cedarschema",
    "starter/README.md",
    "packs/tools/README.md",
    "conformance-tests/cases/certification.json",
  ];
  expect(needed.filter((path) => !files.includes(path))).toEqual([]);
  const room = /^(?:conformance-tests\/(?:cases|fixture)|dist|packs|policies|schemas|starter)\//;
  const single = new Set(["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
  expect(files.filter((path) => !room.test(path) && !single.has(path))).toEqual([]);
  // Policies' own tests are policies: whoever copies them wants them.
  const makers =
    /\.(?:test|test-parts|setup)\.|\.tsbuildinfo$|(?<!\.d)\.ts$|\.db$|\.key$|\/\.|^dist\/store\/suite\//;
  expect(files.filter((path) => makers.test(path) && !path.endsWith(".test.yaml"))).toEqual([]);
});
