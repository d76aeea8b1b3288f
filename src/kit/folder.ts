/** Reads folders of text files, and notices when they change, by looking: that works on every file system and mount. */
import type { BigIntStats, Dirent } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** A text file: its path below the folder's own name, for messages, its text, and what told it from every other. */
export type TextFile = { file: string; text: string; mark: string };

const markOf = (path: string, { ino, size, mtimeNs }: BigIntStats): string =>
  `${path} ${ino} ${size} ${mtimeNs}`;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Follows links: mounted configuration is often a link to a dated folder. One that leads nowhere is no folder. */
const isFolder = async (item: Dirent, path: string): Promise<boolean> =>
  item.isDirectory() ||
  (item.isSymbolicLink() && ((await stat(path).catch(() => undefined))?.isDirectory() ?? false));

/** Paths of the files below `folder` whose name passes, sorted; names with a leading dot are passed over. */
export const listFolder = async (folder: string, wanted: (name: string) => boolean): Promise<string[]> => {
  const paths: string[] = [];
  const found = await readdir(folder, { withFileTypes: true });
  for (const item of found.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { name } = item;
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    if (await isFolder(item, path)) paths.push(...(await listFolder(path, wanted)));
    else if (wanted(name)) paths.push(path);
  }
  return paths;
};

/** The bytes of a file and its mark, both of the file that was opened, whatever stands under its name by now. */
const readMarked = async (path: string): Promise<{ bytes: Uint8Array; mark: string }> => {
  const handle = await open(path);
  try {
    const mark = markOf(path, await handle.stat({ bigint: true }));
    return { bytes: await handle.readFile(), mark };
  } finally {
    await handle.close();
  }
};

/** Reads files as UTF-8. @throws Error naming the file that isn't UTF-8 or can't be read */
export const readFiles = async (
  paths: readonly string[],
  name: (path: string) => string,
): Promise<TextFile[]> => {
  const files: TextFile[] = [];
  for (const path of paths) {
    const { bytes, mark } = await readMarked(path);
    try {
      files.push({ file: name(path), text: utf8.decode(bytes), mark });
    } catch (error) {
      throw new Error(`${name(path)}: not valid UTF-8`, { cause: error });
    }
  }
  return files;
};

/** A text that differs when any of the files was written, replaced, added or taken away: their marks, a line each. */
export const signatureOf = async (paths: readonly string[]): Promise<string> => {
  const marks = await Promise.all(
    paths.map(async (path) => markOf(path, await stat(path, { bigint: true }))),
  );
  return marks.join("\n");
};
