/** Folders as they are read: what is in them, whatever else comes and goes there. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { listFolder, readFiles, signatureOf } from "./folder.ts";

const dir = mkdtempSync(join(tmpdir(), "remit-folder-"));
afterAll(() => rmSync(dir, { recursive: true }));

const folder = (name: string, files: Record<string, string>): string => {
  const path = join(dir, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(path, file, ".."), { recursive: true });
    writeFileSync(join(path, file), text);
  }
  return path;
};
const isText = (name: string): boolean => name.endsWith(".txt");

test("what is wanted is listed in order, through folders and links, and nothing hidden", async () => {
  const path = folder("plain", {
    "b.txt": "",
    "a/z.txt": "",
    "a.md": "",
    ".hidden.txt": "",
    ".git/x.txt": "",
  });
  symlinkSync(folder("elsewhere", { "linked.txt": "" }), join(path, "c"));
  symlinkSync("b.txt", join(path, "d.txt"));
  expect(await listFolder(path, isText)).toEqual(
    ["a/z.txt", "b.txt", "c/linked.txt", "d.txt"].map((name) => join(path, name)),
  );
});

test("links that lead nowhere, as editors leave them, matter only where the file is wanted", async () => {
  const path = folder("dangling", { "b.txt": "" });
  symlinkSync("nowhere", join(path, "lock"));
  expect(await listFolder(path, isText)).toEqual([join(path, "b.txt")]);
  symlinkSync("nowhere", join(path, "c.txt"));
  const paths = await listFolder(path, isText);
  await expect(readFiles(paths, (name) => name)).rejects.toThrow(/ENOENT/);
});

test("files that come and go beside the wanted ones are no fault", async () => {
  const path = folder("busy", { "b.txt": "" });
  const state = { looking: true };
  const churn = async (): Promise<void> => {
    for (let n = 0; state.looking; n++) {
      writeFileSync(join(path, `${n}.swp`), "");
      rmSync(join(path, `${n}.swp`));
      if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const churning = churn();
  for (let look = 0; look < 200; look++)
    expect(await listFolder(path, isText)).toEqual([join(path, "b.txt")]);
  state.looking = false;
  await churning;
});

test("the marks of the files read are the signature of what stands there, until one is written", async () => {
  const path = folder("marked", { "a.txt": "1", "b.txt": "2" });
  const paths = await listFolder(path, isText);
  const before = await signatureOf(paths);
  const files = await readFiles(paths, (name) => name);
  expect(files.map(({ mark }) => mark).join("\n")).toBe(before);
  writeFileSync(join(path, "b.txt"), "three");
  expect(await signatureOf(paths)).not.toBe(before);
});
