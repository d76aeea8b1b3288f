/** Reading and running the documents: their blocks, the commands they use, and what they show as a pattern. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { repository, tempDir } from "../conformance-tests/service.ts";

export type Block = { language: string; text: string; line: number; output?: Block };

/** A block of code in Markdown: its language and its text. */
export const fence: RegExp = /^```(\w*)\n(.*?)^```$/gms;

export const blocksOf = (text: string): Block[] => {
  let end = 0;
  const blocks: Block[] = [];
  for (const match of text.matchAll(fence)) {
    const block = {
      language: match[1]!,
      text: match[2]!,
      line: text.slice(0, match.index).split("\n").length,
    };
    const before = blocks.at(-1);
    if (before && text.slice(end, match.index).trim() === "") before.output = block;
    blocks.push(block);
    end = match.index + match[0].length;
  }
  return blocks;
};

/** Where the documents have the service. */
export const address: string = "http://127.0.0.1:8181";
/** The built command. */
export const main: string = join(repository, "dist/cli/main.js");

/** `curl` as far as the documents use it, so that running them needs nothing that isn't installed with Node. */
const curl = `#!${process.execPath}
import { parseArgs } from "node:util";
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    silent: { type: "boolean", short: "s" },
    header: { type: "string", short: "H", multiple: true, default: [] },
    data: { type: "string", short: "d" },
    request: { type: "string", short: "X" },
  },
});
const [url, ...rest] = positionals;
if (rest.length > 0) throw new Error("more than one URL");
const response = await fetch(url, {
  method: values.request ?? (values.data === undefined ? "GET" : "POST"),
  headers: Object.fromEntries(values.header.map((text) => text.split(/: *(.*)/s))),
  body: values.data,
});
process.stdout.write(await response.text());
`;
const remit = `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`;

/** A folder with `remit` and `curl`, for the front of the path. */
export const folderOfCommands = (): string => {
  const bin = tempDir();
  writeFileSync(join(bin, "package.json"), '{"type": "module"}');
  writeFileSync(join(bin, "curl"), curl, { mode: 0o755 });
  writeFileSync(join(bin, "remit"), remit, { mode: 0o755 });
  return bin;
};

const timeless = (text: string): string =>
  text
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z/g, "<time>")
    .replaceAll(/ +$/gm, "")
    .trim();

/** Shown text as a pattern: `…` stands for the rest of a line, alone on its line for any number of lines. */
const patternOf = (shown: string): RegExp => {
  const escaped = timeless(shown).replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll(/^…$/gm, String.raw`[\s\S]*`).replaceAll("…", ".*")}$`);
};

/** Shown JSON as an expectation. */
const expectationOf = (shown: unknown): unknown => {
  if (typeof shown === "string") return expect.stringMatching(patternOf(shown));
  if (Array.isArray(shown)) return shown.map(expectationOf);
  if (typeof shown !== "object" || shown === null) return shown;
  return Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, expectationOf(value)]));
};

/** Holds what a block gave against what the document shows. */
export const expectShown = (path: string, { text, output, line }: Block, stdout: string): void => {
  const given = timeless(stdout);
  // An answer that nobody sees could be an error.
  const shown = output ?? (text.includes("curl ") ? { language: "nothing", text: "" } : undefined);
  if (shown === undefined) return;
  const json = shown.language === "json";
  expect({ at: `${path}:${line}`, given: json ? JSON.parse(given) : given }).toEqual({
    at: `${path}:${line}`,
    given: json ? expectationOf(JSON.parse(shown.text)) : expect.stringMatching(patternOf(shown.text)),
  });
};
