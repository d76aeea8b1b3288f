/** Starts the service on folders of its own, for tests: real files, real threads, real HTTP. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Config, loadConfig, type Service, type ServiceOptions, startService } from "../src/index.ts";

export const fixture: string = fileURLToPath(new URL("fixture", import.meta.url));
export const repository: string = fileURLToPath(new URL("..", import.meta.url));

export type TestService = Service & {
  dir: string;
  config: Config;
  /** Writes a file below the service's folder. */
  write: (path: string, text: string) => void;
};

export type TestOptions = ServiceOptions & {
  /** Folder with `policies/` and `schemas/` to copy; the certification fixture by default. */
  from?: string;
  /** Files to write over the copy before the start. */
  files?: Record<string, string>;
  /** Settings as in `remit.yaml`, scalars only. */
  settings?: Record<string, string>;
  /** The configuration file, where structured settings are needed. */
  yaml?: string;
  dir?: string;
};

/** A fresh folder that disappears with the test process's other temporary files. */
export const tempDir = (): string => mkdtempSync(join(tmpdir(), "remit-test-"));

/** Starts a service in a temporary folder on a free port. */
export const startTestService = async (options: TestOptions = {}): Promise<TestService> => {
  const dir = options.dir ?? tempDir();
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const from = options.from ?? fixture;
  if (options.dir === undefined)
    for (const name of ["policies", "schemas"])
      cpSync(join(from, name), join(dir, name), { recursive: true });
  for (const [path, text] of Object.entries(options.files ?? {})) write(path, text);
  if (options.yaml !== undefined) write("remit.yaml", options.yaml);
  const flags = { listen: "127.0.0.1:0", log_level: "silent", ...options.settings };
  const config = loadConfig({ flags, env: {}, cwd: dir });
  const service = await startService(config, options);
  return {
    ...service,
    dir,
    config,
    write,
    close: async () => {
      await service.close();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
};

export type Posted = {
  status: number;
  body: { decision?: boolean; [name: string]: unknown };
  text: string;
  headers: Headers;
};

/** Posts JSON. */
export const post = async (
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Posted> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    text,
    headers: response.headers,
    body: JSON.parse(text) as Posted["body"],
  };
};

/** Waits until a condition holds. @throws Error after `limitMs`, with the last failure */
export const until = async (holds: () => Promise<boolean> | boolean, limitMs = 15_000): Promise<void> => {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error("the condition did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
