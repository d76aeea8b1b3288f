/** Loads the configuration: defaults < file < environment < flags, once, strictly, naming what is wrong and where. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { stringify } from "yaml";
import type { z } from "zod";
import type { Caller } from "../identity/caller.ts";
import { digestOf } from "../kit/digest.ts";
import { isObject } from "../kit/json.ts";
import { loadErrorText, type Place } from "../kit/place.ts";
import { readYaml } from "../kit/yaml.ts";
import type { Config, Issuer } from "./config.ts";
import { listenText, parseListen } from "./listen.ts";
import { type ConfigFile, configKeys, configShape } from "./schema.ts";

/** The configuration can't be used; `lines` say why, one fault each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.lines = lines;
  }
}

export type ConfigSources = {
  /** From the command line, in file form (`body_bytes_max`); `config` names the file. */
  flags: Record<string, string>;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
};

type Raw = { values: Record<string, unknown>; origin: (path: readonly PropertyKey[]) => string | Place };

/** Structured values live in the file only. */
const structured = new Set(["callers", "issuers"]);
const folders = ["data", "policies", "schemas", "entities"] as const;

const readFile = (path: string | undefined): Raw | undefined => {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`${path}: ${error instanceof Error ? error.message : "can't be read"}`]);
  }
  const read = readYaml(basename(path), text);
  if ("errors" in read) throw new ConfigError(read.errors.map(loadErrorText));
  const value = read.value ?? {};
  if (!isObject(value)) throw new ConfigError([`${basename(path)}: expected a mapping`]);
  return { values: { ...value }, origin: read.placeOf };
};

const readEnvironment = (env: ConfigSources["env"]): Raw => {
  const values: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("REMIT_") || value === undefined || name === "REMIT_CONFIG") continue;
    const key = name.slice("REMIT_".length).toLowerCase();
    if (!configKeys.includes(key) || structured.has(key)) unknown.push(name);
    values[key] = value;
  }
  if (unknown.length > 0) throw new ConfigError(unknown.map((name) => `${name}: no such setting`));
  return { values, origin: ([key]) => `REMIT_${String(key).toUpperCase()}` };
};

const issueLines = (issue: z.core.$ZodIssue, sources: readonly Raw[]): string[] => {
  const paths =
    issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  return paths.map((path) => {
    const message = issue.code === "unrecognized_keys" ? "no such setting" : issue.message;
    const source = sources.findLast(({ values }) => Object.hasOwn(values, String(path[0])));
    const origin = source?.origin(path) ?? "configuration";
    const text = `${path.map(String).join(".")}: ${message}`;
    return typeof origin === "string" ? `${origin}: ${text}` : loadErrorText({ message: text, ...origin });
  });
};

const callerOf = (caller: ConfigFile["callers"][number]): Caller => ({
  name: caller.name,
  ...(caller.key_hash === undefined ? {} : { keyHash: caller.key_hash }),
  ...(caller.oauth
    ? {
        oauth: {
          issuer: caller.oauth.issuer,
          audience: caller.oauth.audience,
          clientId: caller.oauth.client_id,
        },
      }
    : {}),
  scopes: caller.scopes,
  detail: caller.detail,
  subjects: caller.subjects,
  agents: caller.agents,
  actorRequired: caller.actor_required,
  obligations: caller.obligations,
});

const duplicates = (names: readonly string[]): string[] =>
  names.filter((name, position) => names.indexOf(name) !== position);

const configOf = (
  file: ConfigFile,
  paths: Record<(typeof folders)[number], string>,
  base: string,
): Config => ({
  ...(file.identity === undefined ? {} : { identity: file.identity }),
  listen: parseListen(file.listen)!,
  ...paths,
  engine: file.engine,
  callers: file.callers.map(callerOf),
  issuers: file.issuers.map(({ issuer, jwks_uri, jwks_file, algorithms }): Issuer => ({
    issuer,
    algorithms,
    ...(jwks_uri === undefined ? {} : { jwksUri: jwks_uri }),
    ...(jwks_file === undefined ? {} : { jwksFile: resolve(base, jwks_file) }),
  })),
  unregisteredAgents: file.unregistered_agents,
  bodyBytesMax: file.body_bytes_max,
  jsonDepthMax: file.json_depth_max,
  batchItemsMax: file.batch_items_max,
  chainLengthMax: file.chain_length_max,
  queueActsMax: file.queue_acts_max,
  metadataMaxAgeSeconds: file.metadata_max_age_seconds,
  reloadIntervalMs: file.reload_interval_ms,
  shutdownGraceMs: file.shutdown_grace_ms,
  logLevel: file.log_level,
});

/** The file to read: named by flag or environment, else `remit.yaml` here if there is one. */
const filePath = ({ flags, env, cwd }: ConfigSources): string | undefined => {
  const named = flags["config"] ?? env["REMIT_CONFIG"];
  if (named !== undefined) return resolve(cwd, named);
  const usual = resolve(cwd, "remit.yaml");
  return existsSync(usual) ? usual : undefined;
};

/** Loads and checks everything. @throws ConfigError with a line for each fault */
export const loadConfig = (sources: ConfigSources): Config => {
  const path = filePath(sources);
  const { config: _file, ...flagValues } = sources.flags;
  const file = readFile(path);
  const environment = readEnvironment(sources.env);
  const flags: Raw = {
    values: flagValues,
    origin: ([key]) => `--${String(key).replaceAll("_", "-")}`,
  };
  const layers = [...(file ? [file] : []), environment, flags];
  const merged: Record<string, unknown> = Object.assign({}, ...layers.map(({ values }) => values));
  const parsed = configShape.safeParse(merged);
  if (!parsed.success)
    throw new ConfigError(parsed.error.issues.flatMap((issue) => issueLines(issue, layers)));
  const value = parsed.data;
  const twice = [
    ...duplicates(value.callers.map(({ name }) => name)).map((name) => `callers: \`${name}\` stands twice`),
    ...duplicates(value.issuers.map(({ issuer }) => issuer)).map(
      (name) => `issuers: \`${name}\` stands twice`,
    ),
  ];
  if (twice.length > 0) throw new ConfigError(twice);
  const base = path === undefined ? sources.cwd : dirname(path);
  // A path means what it means where it was written: beside the file, or where the command was given.
  const fromFile = (key: string): boolean =>
    file !== undefined &&
    Object.hasOwn(file.values, key) &&
    !Object.hasOwn(environment.values, key) &&
    !Object.hasOwn(flagValues, key);
  const at = (key: (typeof folders)[number], text: string): string =>
    resolve(fromFile(key) ? base : sources.cwd, text);
  const policies = at("policies", value.policies);
  const paths = {
    data: at("data", value.data),
    policies,
    schemas: at("schemas", value.schemas),
    entities: value.entities === undefined ? resolve(policies, "entities") : at("entities", value.entities),
  };
  return Object.freeze(configOf(value, paths, base));
};

/** The effective configuration in file form, secrets masked. */
const fileForm = (config: Config): Record<string, unknown> => ({
  ...(config.identity === undefined ? {} : { identity: config.identity }),
  listen: listenText(config.listen),
  data: config.data,
  policies: config.policies,
  schemas: config.schemas,
  entities: config.entities,
  engine: config.engine,
  store: "sqlite",
  callers: config.callers.map((caller) => ({
    name: caller.name,
    ...(caller.keyHash === undefined ? {} : { key_hash: "sha256:…" }),
    ...(caller.oauth
      ? {
          oauth: {
            issuer: caller.oauth.issuer,
            audience: caller.oauth.audience,
            client_id: caller.oauth.clientId,
          },
        }
      : {}),
    scopes: caller.scopes,
    detail: caller.detail,
    subjects: caller.subjects,
    agents: caller.agents,
    actor_required: caller.actorRequired,
    obligations: caller.obligations,
  })),
  issuers: config.issuers.map(({ issuer, jwksUri, jwksFile, algorithms }) => ({
    issuer,
    ...(jwksUri === undefined ? {} : { jwks_uri: jwksUri }),
    ...(jwksFile === undefined ? {} : { jwks_file: jwksFile }),
    algorithms,
  })),
  unregistered_agents: config.unregisteredAgents,
  body_bytes_max: config.bodyBytesMax,
  json_depth_max: config.jsonDepthMax,
  batch_items_max: config.batchItemsMax,
  chain_length_max: config.chainLengthMax,
  queue_acts_max: config.queueActsMax,
  metadata_max_age_seconds: config.metadataMaxAgeSeconds,
  reload_interval_ms: config.reloadIntervalMs,
  shutdown_grace_ms: config.shutdownGraceMs,
  log_level: config.logLevel,
});

/** What `remit config` prints: YAML that the file could hold, secrets masked. */
export const describeConfig = (config: Config): string => stringify(fileForm(config));

/** Names the configuration in every entry that it had a part in. */
export const configDigest = (config: Config): string => digestOf(fileForm(config));
