/**
 * The documents are executed. In each, `sh` blocks run in order against a fresh service on the repository's own
 * policies when they ask it (`curl`) or use the command (`remit`, `node dist/cli/main.js`). A `json` or `text` block
 * that comes next is the output shown: `…` in it stands for anything, and times may differ. `cedar`, `cedarschema` and
 * `yaml` blocks are read as the service reads files; links, options, settings, names and files must exist.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { afterEach, describe, expect, test } from "vitest";
import { repository, startTestService, tempDir, type TestService } from "../conformance-tests/service.ts";
import { readAgents } from "./agent/read-agents.ts";
import { readBudgets } from "./budget/read-budgets.ts";
import { program } from "./cli/program.ts";
import {
  address,
  type Block,
  blocksOf,
  expectShown,
  fence,
  folderOfCommands,
} from "./documents.test-parts.ts";
import { loadConfig } from "./config/load.ts";
import { reasons } from "./decision/case-file.ts";
import { settings } from "./config/schema.ts";
import { loadErrorText } from "./kit/place.ts";
import { problemStatus } from "./kit/problem.ts";
import { readYaml } from "./kit/yaml.ts";
import { createCedar } from "./policy/cedar.ts";
import { createCompiler } from "./policy/compile.ts";
import { linkTemplates } from "./policy/links.ts";

type Document = { path: string; text: string; prose: string; blocks: Block[] };

const read = (path: string): string => readFileSync(join(repository, path), "utf8");

const filesBelow = (folder: string, ending: string): string[] =>
  readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));

const documents = [
  ...readdirSync(repository).filter((name) => name.endsWith(".md")),
  ...filesBelow("docs", ".md"),
].map((path): Document => {
  const text = read(path);
  return { path, text, prose: text.replaceAll(fence, ""), blocks: blocksOf(text) };
});

const blocksIn = (language: string): [string, Block][] =>
  documents.flatMap(({ path, blocks }) =>
    blocks
      .filter((block) => block.language === language)
      .map((block): [string, Block] => [`${path}:${block.line}`, block]),
  );

/** What is written as code, inline or as a command. */
const codeIn = ({ prose, blocks }: Document): string[] => [
  ...[...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!),
  ...blocks
    .filter(({ language }) => language === "sh")
    .flatMap(({ text }) => text.replaceAll("\\\n", "").split("\n")),
];

/** The words of a document's code that match, once each, with where they stand. */
const wordsOf = (word: RegExp): [string, string][] =>
  documents.flatMap((document) => {
    const words = codeIn(document).flatMap((code) => [...code.matchAll(word)].map((match) => match[0]));
    return [...new Set(words)].map((found): [string, string] => [document.path, found]);
  });

test("the documents and their examples are found", () => {
  expect(documents.map(({ path }) => path)).toEqual(
    expect.arrayContaining(["README.md", "docs/operating.md", "docs/reference/errors.md"]),
  );
  const languages = ["sh", "json", "text", "cedar", "cedarschema", "yaml"];
  expect(languages.filter((language) => blocksIn(language).length === 0)).toEqual([]);
});

describe("the commands of", () => {
  const executed = /^(?:curl|remit|node dist\/cli\/main\.js) /m;
  let service: TestService | undefined;
  afterEach(() => service?.close());

  const scripts = documents
    // What begins with nothing runs in a test of its own.
    .filter(({ path }) => path !== "docs/first-ten-minutes.md")
    .map(({ path, blocks }): [string, Block[]] => [
      path,
      blocks.filter(
        ({ language, text }) => language === "sh" && executed.test(text) && !/^remit serve/m.test(text),
      ),
    ])
    .filter(([, blocks]) => blocks.length > 0);

  test.each(scripts)("%s give the output shown", { timeout: 120_000 }, async (path, blocks) => {
    const { dir, url } = (service = await startTestService({ from: repository }));
    symlinkSync(join(repository, "dist"), join(dir, "dist"));
    const env = { PATH: `${folderOfCommands()}:${process.env["PATH"]}` };
    for (const block of blocks) {
      const script = block.text.replaceAll(address, url);
      const { stdout } = await promisify(execFile)("sh", ["-ec", script], { cwd: dir, env });
      expectShown(path, block, stdout.replaceAll(url, address));
    }
  });
});

describe("files as they are shown", () => {
  const schemas = filesBelow("schemas", ".cedarschema").map((file) => ({ file, text: read(file) }));
  const faultsOf = (result: object): string[] =>
    "errors" in result ? (result.errors as Parameters<typeof loadErrorText>[0][]).map(loadErrorText) : [];
  const { compile } = createCompiler(createCedar());
  // What the shipped budgets.yaml declares, as far as the documents name it.
  const declared = { ids: ["agent-daily-usd"], units: ["usd_micros"] };

  test.each(blocksIn("cedar"))("the policies at %s are valid under the shipped schema", (file, { text }) => {
    expect(faultsOf(compile([{ file, text }], schemas, declared))).toEqual([]);
  });

  test.each(blocksIn("cedarschema"))("the schema at %s is valid", (file, { text }) => {
    expect(faultsOf(compile([], [{ file, text }], declared))).toEqual([]);
  });

  test.each(blocksIn("yaml"))("the file at %s is read", (file, { text }) => {
    const name = /^# (\S+)/.exec(text)?.[1];
    if (name === "remit.yaml") {
      const cwd = tempDir();
      writeFileSync(join(cwd, name), text);
      expect(() => loadConfig({ flags: {}, env: {}, cwd })).not.toThrow();
    } else if (name === "links.yaml") {
      expect(linkTemplates([], { file, text }).errors.map(({ message }) => message)).toEqual([
        "there is no template `client-reads-its-sites`",
      ]);
    } else if (name === ".github/workflows/policies.yaml") {
      // Not a file of ours; its commands are checked with all others.
      expect(readYaml(file, text)).not.toHaveProperty("errors");
    } else if (name === "budgets.yaml") {
      expect(
        faultsOf(readBudgets(file, text, { actions: (each) => [each], resourceType: (each) => each })),
      ).toEqual([]);
    } else {
      expect(name).toBe("agents.yaml");
      expect(faultsOf(readAgents(file, text, "Agent"))).toEqual([]);
    }
  });
});

describe("what the documents name exists", () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-");
  const headingsOf = (text: string): string[] =>
    [...text.replaceAll(fence, "").matchAll(/^#+ (.+)$/gm)].map((match) => slug(match[1]!));

  test("links lead to a file of the repository, and to a heading of it", () => {
    const broken = documents.flatMap(({ path, prose }) =>
      [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
        .map((match) => match[1]!)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => {
          const [file, heading] = link.split("#");
          const target = file === "" ? path : normalize(join(dirname(path), file!));
          if (target.startsWith("..") || !existsSync(join(repository, target))) return true;
          return heading !== undefined && !headingsOf(read(target)).includes(heading);
        })
        .map((link) => `${path}: ${link}`),
    );
    expect(broken).toEqual([]);
  });

  test("files and folders named as code are there", () => {
    const named = wordsOf(/^(?:src|docs|policies|schemas|conformance-tests)\/[\w./-]*$/g);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter(([, path]) => !existsSync(join(repository, path)))).toEqual([]);
  });

  const optionsOf = (command: Command): string[] => command.options.flatMap(({ long }) => long ?? []);
  const everyOption = (command: Command): string[] => [
    ...optionsOf(command),
    ...command.commands.flatMap(everyOption),
  ];

  test("`remit` commands and their options are the command's", () => {
    const used = wordsOf(/(?<![\w./-])(?:remit|node dist\/cli\/main\.js)(?: [^|>#]*)?$/g);
    expect(used.length).toBeGreaterThan(5);
    const wrong = used.filter(([, line]) => {
      let command = program();
      for (const word of line.replace("node dist/cli/main.js", "remit").split(/\s+/).slice(1)) {
        const next = command.commands.find((each) => each.name() === word);
        if (!next && command.commands.length > 0 && /^[a-z]/.test(word)) return true;
        command = next ?? command;
        const option = /^--[a-z-]+/.exec(word)?.[0];
        if (option !== undefined && !optionsOf(command).includes(option)) return true;
      }
      return false;
    });
    expect(wrong).toEqual([]);
    const options = everyOption(program());
    expect(wordsOf(/^--[a-z-]+/g).filter(([, option]) => !options.includes(option))).toEqual([]);
  });

  test("`npm` scripts are those of the package", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const used = wordsOf(/(?<=npm run )[\w:]+|(?<=npm )(?:start|test)\b/g);
    expect(used.length).toBeGreaterThan(2);
    expect(used.filter(([, script]) => !Object.hasOwn(scripts, script))).toEqual([]);
  });

  test("variables are settings", () => {
    // The last is of the tests.
    const others = ["REMIT_CONFIG", "REMIT_TEST_POSTGRES"];
    const variables = new Set([...settings.map(({ key }) => `REMIT_${key.toUpperCase()}`), ...others]);
    const named = wordsOf(/\bREMIT_[A-Z_]+/g);
    expect(named.length).toBeGreaterThan(2);
    expect(named.filter(([, variable]) => !variables.has(variable))).toEqual([]);
  });

  test("settings, reasons, codes, facts, metrics and other names in snake_case stand in the code", () => {
    const code = [
      ...filesBelow("src", ".ts").filter((path) => !path.endsWith(".test.ts")),
      ...filesBelow("schemas", ""),
    ]
      .filter((path) => /\.\w+$/.test(path))
      .map(read)
      .join("\n");
    const names = new Set(code.match(/[A-Za-z_]\w*/g));
    const used = wordsOf(/(?<![\w/.-])[a-z]+(?:_[a-z]+)+\b/g);
    expect(used.length).toBeGreaterThan(40);
    expect(used.filter(([, name]) => !names.has(name))).toEqual([]);
  });
});

describe("the catalogue of errors and reasons", () => {
  const rowsBelow = (heading: string): string[][] => {
    const section = read("docs/reference/errors.md")
      .split(/^## /m)
      .find((text) => text.startsWith(heading));
    return [...(section ?? "").matchAll(/^\| `.*$/gm)].map(([row]) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    );
  };

  test("holds every code with its status, and no other", () => {
    const rows = rowsBelow("Error codes");
    expect(Object.fromEntries(rows.map(([code, status]) => [code, Number(status)]))).toEqual(problemStatus);
    expect(rows).toHaveLength(Object.keys(problemStatus).length);
  });

  test("holds every decision reason, and no other", () => {
    expect(reasons.length).toBeGreaterThan(10);
    const documented = rowsBelow("Decision reasons").map(([reason]) => reason!);
    expect(new Set(documented)).toEqual(new Set(reasons));
    expect(documented).toHaveLength(reasons.length);
  });
});
