/**
 * What a hook knows of a tool between its beginning and its end, which two processes see: one file for each call. It is only
 * for reports and holds: nothing is permitted by it, so what an agent does to it frees nothing.
 */
import { lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isObject, parseJson } from "../../kit/json.ts";
import { sha256 } from "../../kit/digest.ts";

/** A call that was permitted: its decision, and the hold that stays open while it runs, by their ids. */
export type OpenCall = { decision?: string | undefined; hold?: string | undefined };

export type OpenCalls = {
  /** Whether it is kept. Never rejects. */
  keep: (session: string, use: string, call: OpenCall) => Promise<boolean>;
  /** The call, once; undefined where it isn't known. Never rejects. */
  take: (session: string, use: string) => Promise<OpenCall | undefined>;
  /** Every call of a session that is still open. Never rejects. */
  takeAll: (session: string) => Promise<OpenCall[]>;
};

const nameOf = (id: string): string => sha256(id).toString("base64url");

/** Calls of sessions that nobody ended. */
const keptMs = 86_400_000;
const callsMax = 1000;

const readCall = (text: string): OpenCall => {
  const value = parseJson(text);
  if (!isObject(value)) return {};
  const { decision, hold } = value;
  return {
    ...(typeof decision === "string" ? { decision } : {}),
    ...(typeof hold === "string" ? { hold } : {}),
  };
};

/** A folder that is nobody else's. @throws Error where it can't be had */
const ownFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  // Windows knows no owners; its temporary folder is the user's own.
  const owned =
    process.getuid === undefined || (found.uid === process.getuid() && (found.mode & 0o077) === 0);
  if (!found.isDirectory() || !owned) throw new Error(`\`${folder}\` is somebody else's`);
};

const sweep = async (folder: string): Promise<void> => {
  for (const name of await readdir(folder)) {
    const { mtimeMs } = await stat(join(folder, name));
    if (Date.now() - mtimeMs > keptMs) await rm(join(folder, name), { recursive: true, force: true });
  }
};

const takeFile = async (file: string): Promise<OpenCall | undefined> => {
  const taken = `${file}.${process.pid}`;
  try {
    // Of two that take it, one gets it.
    await rename(file, taken);
    const call = readCall(await readFile(taken, "utf8"));
    await rm(taken, { force: true });
    return call;
  } catch {
    return undefined;
  }
};

/** Keeps open calls below a folder of the user's own. */
export const createOpenCalls = (folder: string): OpenCalls => ({
  keep: async (session, use, call) => {
    const below = join(folder, nameOf(session));
    try {
      await ownFolder(folder);
      await sweep(folder);
      await mkdir(below, { recursive: true, mode: 0o700 });
      if ((await readdir(below)).length >= callsMax) return false;
      await writeFile(join(below, nameOf(use)), JSON.stringify(call), { mode: 0o600, flag: "wx" });
      return true;
    } catch {
      return false;
    }
  },
  take: async (session, use) => {
    try {
      await ownFolder(folder);
    } catch {
      return undefined;
    }
    return takeFile(join(folder, nameOf(session), nameOf(use)));
  },
  takeAll: async (session) => {
    const below = join(folder, nameOf(session));
    try {
      await ownFolder(folder);
      const names = await readdir(below);
      const calls = await Promise.all(names.map((name) => takeFile(join(below, name))));
      await rm(below, { recursive: true, force: true });
      return calls.filter((call) => call !== undefined);
    } catch {
      return [];
    }
  },
});
