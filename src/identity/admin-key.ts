/** The administrator's key: made at the first start, readable by the service's own user only. */
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Problem } from "../kit/problem.ts";
import { hashKey, newKey } from "./key.ts";

export const adminKeyFile = (data: string): string => join(data, "admin.key");

const create = (file: string): string | undefined => {
  try {
    const handle = openSync(file, "wx", 0o600);
    const { key } = newKey();
    writeSync(handle, `${key}\n`);
    closeSync(handle);
    return key;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return undefined;
    throw error;
  }
};

/** Reads the key. @throws Problem `not_ready` when it is missing, or others than its owner can read it */
export const readAdminKey = (data: string): string => {
  const file = adminKeyFile(data);
  let mode: number;
  try {
    mode = statSync(file).mode;
  } catch (cause) {
    throw new Problem("not_ready", `there is no admin key at ${file}`, { cause });
  }
  if ((mode & 0o077) !== 0)
    throw new Problem("not_ready", `${file} can be read by others: run \`chmod 600 ${file}\``);
  const key = readFileSync(file, "utf8").trim();
  if (key.length < 32) throw new Problem("not_ready", `${file} holds no key: delete it to have one made`);
  return key;
};

/** The key of a data directory, made if it isn't there, and its hash. @throws Problem as `readAdminKey` */
export const adminKey = (data: string): { key: string; keyHash: string } => {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const key = create(adminKeyFile(data)) ?? readAdminKey(data);
  return { key, keyHash: hashKey(key) };
};
