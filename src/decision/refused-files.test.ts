/** What looks like policies in force and isn't read is refused, from folders and from bundles alike. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repository, tempDir } from "../../conformance-tests/service.ts";
import { loadErrorText } from "../kit/place.ts";
import { createCedar } from "../policy/cedar.ts";
import { createCompiler } from "../policy/compile.ts";
import { buildSnapshot, filesOf, type FolderFiles, readFolders } from "./snapshot.ts";

const filesWith = async (path: string, text: string): Promise<FolderFiles> => {
  const dir = tempDir();
  cpSync(join(repository, "starter"), dir, { recursive: true });
  writeFileSync(join(dir, path), text);
  return readFolders({
    policies: join(dir, "policies"),
    schemas: join(dir, "schemas"),
    entities: join(dir, "policies/entities"),
  });
};

const errorsOf = (files: FolderFiles): string[] => {
  const snapshot = buildSnapshot(createCompiler(createCedar()), files);
  return "errors" in snapshot ? snapshot.errors.map(loadErrorText) : [];
};

const json = `{
  "staticPolicies": {},
  "templateLinks": [{ "templateId": "t", "newId": "l", "values": {} }]
}`;
const notRead = "policies in Cedar's JSON form aren't read: write them as `.cedar`";

test.each([
  [
    "links in Cedar's JSON form",
    "policies/more.cedar.json",
    json,
    `policies/more.cedar.json:3:20: ${notRead}`,
  ],
  ["policies in it", "policies/more.cedar.json", "{}", `policies/more.cedar.json:1:1: ${notRead}`],
  ["what isn't even JSON", "policies/more.cedar.json", "{", `policies/more.cedar.json:1:1: ${notRead}`],
  [
    "links under another name",
    "policies/links.yml",
    "links: []",
    "policies/links.yml:1:1: links are read from `links.yaml` only",
  ],
])("%s are refused, with file and place", async (_what, path, text, expected) => {
  const files = await filesWith(path, text);
  for (const given of [files, filesOf(files.bundle)]) {
    const errors = errorsOf(given);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(expected);
  }
});

test("entities may be called anything", async () => {
  const text = '[{"uid": {"type": "Model", "id": "large"}, "attrs": {}, "parents": []}]';
  for (const name of ["links.json", "more.cedar.json"])
    expect(errorsOf(await filesWith(`policies/entities/${name}`, text))).toEqual([]);
});
