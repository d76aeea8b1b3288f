/** Options that several commands share, and the configuration they make. */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import type { Config } from "../config/config.ts";
import { environment } from "../config/environment.ts";
import { parseListen } from "../config/listen.ts";
import { loadConfig } from "../config/load.ts";
import { Problem } from "../kit/problem.ts";

export type CommonOptions = {
  config?: string;
  data?: string;
  policies?: string;
  schemas?: string;
  entities?: string;
};

/** Adds the options that name files and folders. */
export const withCommonOptions = (command: Command): Command =>
  command
    .option("--config <file>", "configuration file (default: remit.yaml here, if there is one)")
    .option("--data <dir>", "data directory")
    .option("--policies <dir>", "folder of policies and budgets")
    .option("--schemas <dir>", "folder of schemas")
    .option("--entities <dir>", "folder of entities and agents");

/** The configuration of a command: its options over the environment over the file. @throws ConfigError */
export const configOf = (options: CommonOptions & { listen?: string }): Config => {
  const { config, data, policies, schemas, entities, listen } = options;
  const given = Object.entries({ config, data, policies, schemas, entities, listen });
  const flags: Record<string, string> = {};
  for (const [name, value] of given) if (value !== undefined) flags[name] = value;
  return loadConfig({ flags, env: environment(), cwd: process.cwd() });
};

/** Collects an option that may be repeated. Commas are part of a value: ids may hold them. */
export const collect = (value: string, before: string[] = []): string[] => {
  if (value === "") throw new InvalidArgumentError("must not be empty");
  return [...before, value];
};

/** A key that a file holds. @throws Problem where it holds none */
export const secretIn = (file: string): string => {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new Problem("not_ready", `the key file \`${file}\` can't be read`, { cause: error });
  }
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Problem("not_ready", `\`${file}\` holds no key`);
  return text;
};

/** An address to listen on. @throws InvalidArgumentError */
export const parseAddress = (text: string): { host: string; port: number } => {
  const listen = parseListen(text);
  if (listen === undefined) throw new InvalidArgumentError("must be host:port");
  return listen;
};

/** A number of things, or of milliseconds. @throws InvalidArgumentError */
export const parseCount = (text: string): number => {
  const count = Number(text);
  if (!/^\d{1,9}$/.test(text) || count < 1) throw new InvalidArgumentError("must be a positive integer");
  return count;
};

/** Ends the process once it is told to, after `close`; whoever tells it twice doesn't want to wait. */
export const untilStopped = (close: () => Promise<void>): void => {
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
};
