/** What tests of the tools' gates share: a service with the pack for tools, a caller that is told reasons, and the log of a server. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  repository,
  startTestService,
  tempDir,
  type TestService,
} from "../../../conformance-tests/service.ts";
import { newKey } from "../../identity/key.ts";

export const pack: string = join(repository, "packs/tools");
export const main: string = join(repository, "dist/cli/main.js");
export const serverScript: string = join(repository, "src/client/mcp/server.test-parts.ts");

export type ToolStage = {
  service: TestService;
  /** The key of a caller that is told reasons, and a file with it. */
  callerKey: string;
  callerKeyFile: string;
  admin: (path: string, body: unknown) => Promise<Record<string, any>>;
  close: () => Promise<void>;
};

/** Writes a text into a file of its own. */
export const fileWith = (text: string): string => {
  const file = join(tempDir(), "file");
  writeFileSync(file, text);
  return file;
};

export const startToolStage = async (files: Record<string, string> = {}): Promise<ToolStage> => {
  const { key, keyHash } = newKey();
  const service = await startTestService({
    from: pack,
    files,
    yaml: `callers: [{ name: proxy, key_hash: "${keyHash}", scopes: [evaluate, settle], detail: user }]\n`,
  });
  const adminKey = readFileSync(join(service.config.data, "admin.key"), "utf8").trim();
  return {
    service,
    callerKey: key,
    callerKeyFile: fileWith(key),
    admin: async (path, body) => {
      const response = await fetch(`${service.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      const answer = (await response.json()) as Record<string, any>;
      if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer;
    },
    close: () => service.close(),
  };
};
