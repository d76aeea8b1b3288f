/** The key of digests that stand for what isn't kept: made when it is first needed, readable by the service's own user only. */
import { randomBytes } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Problem } from "../kit/problem.ts";

const keyBytes = 32;

/** The key of a data directory. @throws Problem `not_ready` where others can read it, or it is none */
export const recordingKey = (data: string): Uint8Array => {
  const file = join(data, "recording.key");
  try {
    writeFileSync(file, `${randomBytes(keyBytes).toString("hex")}\n`, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Problem("not_ready", `${file} can be read by others: run \`chmod 600 ${file}\``);
  const key = Buffer.from(readFileSync(file, "utf8").trim(), "hex");
  if (key.length !== keyBytes) throw new Problem("not_ready", `${file} holds no key of ${keyBytes} bytes`);
  return key;
};
