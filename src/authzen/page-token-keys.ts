/**
 * The secrets that seal page tokens (AuthZEN §8.2): in the data directory, so that a search goes on after a restart, or in a
 * file that several services share. The first seals, all of them open.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Problem } from "../kit/problem.ts";

/** The first seals. */
export type PageTokenKeys = readonly [Buffer, ...Buffer[]];

const keyBytes = 32;

/** After this a start puts a new secret in front. */
const ageMaxMs = 30 * 24 * 3_600_000;

export const pageTokenKeyFile = (data: string): string => join(data, "page-token.key");

const parse = (file: string, text: string): PageTokenKeys => {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const [first, ...others] = lines.map((line, position) => {
    const key = Buffer.from(line, "base64url");
    // Of the ways to write the same bytes only the usual one counts, so that no typing error makes another secret.
    if (key.length < keyBytes || key.toString("base64url") !== line.replace(/=+$/, ""))
      throw new Problem(
        "not_ready",
        `line ${position + 1} of ${file} is no secret: it takes ${keyBytes} random bytes or more in base64url`,
        { field: "page_token_key_file" },
      );
    return key;
  });
  if (!first) throw new Problem("not_ready", `${file} holds no secret`, { field: "page_token_key_file" });
  return [first, ...others];
};

/** The secrets of a file that the configuration names. @throws Problem `not_ready` when it can't be read or holds none */
const readShared = (file: string): PageTokenKeys => {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "it can't be read";
    throw new Problem("not_ready", `there are no secrets of page tokens: ${why}`, {
      field: "page_token_key_file",
      cause,
    });
  }
  return parse(file, text);
};

const write = (file: string, keys: PageTokenKeys): PageTokenKeys => {
  const fresh = `${file}.new`;
  const handle = openSync(fresh, "w", 0o600);
  writeSync(handle, keys.map((key) => `${key.toString("base64url")}\n`).join(""));
  fsyncSync(handle);
  closeSync(handle);
  renameSync(fresh, file);
  return keys;
};

/** The secrets of a data directory: made at the first start; a month later one is put in front, and the one before still opens. */
const ownKeys = (data: string, nowMs: number): PageTokenKeys => {
  const file = pageTokenKeyFile(data);
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) return write(file, [randomBytes(keyBytes)]);
  if ((found.mode & 0o077) !== 0)
    throw new Problem("not_ready", `${file} can be read by others: run \`chmod 600 ${file}\``);
  const keys = parse(file, readFileSync(file, "utf8"));
  return nowMs - found.mtimeMs > ageMaxMs ? write(file, [randomBytes(keyBytes), keys[0]]) : keys;
};

/**
 * The secrets of a service; `shared` names the file of several.
 * @throws Problem `not_ready` when they can't be had, or when those of the data directory can be read by others
 */
export const pageTokenKeys = (
  { data, shared }: { data: string; shared?: string | undefined },
  nowMs: number,
): PageTokenKeys => (shared === undefined ? ownKeys(data, nowMs) : readShared(shared));
