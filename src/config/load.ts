/** Loads the configuration: defaults < file < environment < flags, once, strictly, naming what is wrong and where. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { stringify } from "yaml";
import type { z } from "zod";
import { sinkOf } from "../alert/sink.ts";
import { digestOf } from "../kit/digest.ts";
import { isObject } from "../kit/json.ts";
import { loadErrorText, type Place } from "../kit/place.ts";
import { readYaml } from "../kit/yaml.ts";
import type { Config } from "./config.ts";
import { callerOf, fileOfCaller } from "./callers.ts";
import { fileOfLimits, fileOfTls, fileOfTraces, limitsOf, tlsOf, tracesOf } from "./limits.ts";
import { fileOfTokens, tokensOf } from "./tokens.ts";
import { fileOfStreamSink, streamSinkOf } from "./sinks.ts";
import { listenText, parseListenAt } from "./listen.ts";
import { type ConfigFile, configShape, settings } from "./schema.ts";
import { valueOf } from "./settings.ts";

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

/** What one line of text can hold; structured values live in the file only. */
const textSettings = new Map(
  settings.filter(({ kind }) => kind !== "structured").map((setting) => [setting.key, setting]),
);
const folders = ["data", "policies", "schemas", "entities"] as const;
type Paths = Record<(typeof folders)[number], string> & Pick<Config, "pageTokenKeyFile">;

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

/** A setting as a flag or variable gives it; `origin` is how it was spelt. */
type Text = { key: string; text: string; origin: string };

const readTexts = (texts: readonly Text[]): Raw & { unknown: string[] } => {
  const values: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  const unknown: string[] = [];
  for (const { key, text, origin } of texts) {
    const setting = textSettings.get(key);
    if (!setting) {
      unknown.push(`${origin}: no such setting`);
      continue;
    }
    values[key] = valueOf(setting, text);
    origins.set(key, origin);
  }
  return { values, unknown, origin: ([key]) => origins.get(String(key)) ?? String(key) };
};

const prefix = "REMIT_";

const textsOfEnvironment = (env: ConfigSources["env"]): Text[] =>
  Object.entries(env).flatMap(([origin, text]) => {
    if (!origin.startsWith(prefix) || origin === "REMIT_CONFIG" || text === undefined) return [];
    const name = origin.slice(prefix.length);
    // Upper case is the only spelling: which of two would count is nothing to be found out by trial.
    return [{ key: name === name.toUpperCase() ? name.toLowerCase() : origin, text, origin }];
  });

const textsOfFlags = (flags: Record<string, string>): Text[] =>
  Object.entries(flags).map(([key, text]) => ({ key, text, origin: `--${key.replaceAll("_", "-")}` }));

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

const issueLines = (issue: z.core.$ZodIssue, sources: readonly Raw[]): string[] => {
  const unrecognized = issue.code === "unrecognized_keys";
  const paths = unrecognized ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  return paths.map((path) => {
    const message = unrecognized ? "no such setting" : lowerFirst(issue.message);
    const source = sources.findLast(({ values }) => Object.hasOwn(values, String(path[0])));
    const origin = source?.origin(path) ?? "configuration";
    const text = `${path.map(String).join(".")}: ${message}`;
    // A flag or variable is the name of its setting already.
    return typeof origin === "string" ? `${origin}: ${message}` : loadErrorText({ message: text, ...origin });
  });
};

const ledgerOf = (
  { origin, anchor, heads_interval_ms: headsIntervalMs }: ConfigFile["ledger"],
  base: string,
): Config["ledger"] => ({
  headsIntervalMs,
  ...(origin === undefined ? {} : { origin }),
  ...(anchor?.file === undefined ? {} : { anchor: { file: resolve(base, anchor.file) } }),
  ...(anchor?.url === undefined ? {} : { anchor: { url: anchor.url } }),
});

const recordingOf = ({ mask, ...kept }: ConfigFile["recording"]): Config["recording"] => ({
  ...kept,
  mask: mask.map((text) => text.split(".")),
});

const bundleOf = ({ bundle }: ConfigFile, base: string): Pick<Config, "bundle"> =>
  bundle
    ? {
        bundle: {
          file: resolve(base, bundle.file),
          publicKeys: bundle.public_keys.map((key) => resolve(base, key)),
        },
      }
    : {};

const configOf = (file: ConfigFile, paths: Paths, base: string): Config => ({
  ...(file.identity === undefined ? {} : { identity: file.identity }),
  listen: parseListenAt(file.listen)!,
  ...tlsOf(file.tls, base),
  ...paths,
  ...bundleOf(file, base),
  engine: file.engine,
  ...(file.store === "sqlite" ? {} : { store: file.store }),
  staleMsMax: file.stale_ms_max,
  callers: file.callers.map(callerOf),
  ...tokensOf(file, base),
  alerts: file.alerts.map((sink) => sinkOf(sink, base)),
  sinks: file.sinks.map((sink) => streamSinkOf(sink, base)),
  ledger: ledgerOf(file.ledger, base),
  recording: recordingOf(file.recording),
  ...(file.retention ? { retentionDays: file.retention.days } : {}),
  unregisteredAgents: file.unregistered_agents,
  bodyBytesMax: file.body_bytes_max,
  jsonDepthMax: file.json_depth_max,
  batchItemsMax: file.batch_items_max,
  chainLengthMax: file.chain_length_max,
  queueActsMax: file.queue_acts_max,
  ...limitsOf(file),
  metadataMaxAgeSeconds: file.metadata_max_age_seconds,
  reloadIntervalMs: file.reload_interval_ms,
  shutdownGraceMs: file.shutdown_grace_ms,
  ...tracesOf(file.traces, base),
  logLevel: file.log_level,
});

/** The file to read: named by flag or environment, else `remit.yaml` here if there is one. */
const filePath = ({ flags, env, cwd }: ConfigSources): string | undefined => {
  const named = flags["config"] ?? env["REMIT_CONFIG"];
  if (named !== undefined) return resolve(cwd, named);
  const usual = resolve(cwd, "remit.yaml");
  return existsSync(usual) ? usual : undefined;
};

/** The sources merged and checked, later ones winning. @throws ConfigError with a line for each fault */
const parseLayers = (layers: readonly Raw[], unknown: readonly string[]): ConfigFile => {
  const merged: Record<string, unknown> = Object.assign({}, ...layers.map(({ values }) => values));
  const parsed = configShape.safeParse(merged, {
    error: (issue) => (issue.code === "invalid_type" && issue.input === undefined ? "is missing" : undefined),
  });
  const faults = parsed.success ? [] : parsed.error.issues.flatMap((issue) => issueLines(issue, layers));
  if (!parsed.success || unknown.length > 0) throw new ConfigError([...unknown, ...faults]);
  return parsed.data;
};

/** Loads and checks everything. @throws ConfigError with a line for each fault */
export const loadConfig = (sources: ConfigSources): Config => {
  const path = filePath(sources);
  const { config: _file, ...flagTexts } = sources.flags;
  const file = readFile(path);
  const environment = readTexts(textsOfEnvironment(sources.env));
  const flags = readTexts(textsOfFlags(flagTexts));
  const layers = [...(file ? [file] : []), environment, flags];
  const value = parseLayers(layers, [...environment.unknown, ...flags.unknown]);
  const base = path === undefined ? sources.cwd : dirname(path);
  // A path means what it means where it was written: beside the file, or where the command was given.
  const fromFile = (key: string): boolean =>
    file !== undefined &&
    Object.hasOwn(file.values, key) &&
    !Object.hasOwn(environment.values, key) &&
    !Object.hasOwn(flags.values, key);
  const at = (key: (typeof folders)[number] | "page_token_key_file", text: string): string =>
    resolve(fromFile(key) ? base : sources.cwd, text);
  const policies = at("policies", value.policies);
  const pageTokenKeyFile = value.page_token_key_file;
  const paths: Paths = {
    ...(pageTokenKeyFile === undefined
      ? {}
      : { pageTokenKeyFile: at("page_token_key_file", pageTokenKeyFile) }),
    data: at("data", value.data),
    policies,
    schemas: at("schemas", value.schemas),
    entities: value.entities === undefined ? resolve(policies, "entities") : at("entities", value.entities),
  };
  return Object.freeze(configOf(value, paths, base));
};

/** The store without what is secret of it. */
export const shownStore = ({ store }: Pick<Config, "store">): string => {
  if (store === undefined) return "sqlite";
  const url = new URL(store);
  // Parameters may name keys.
  return `${url.protocol}//${url.username}${url.password === "" ? "" : ":…"}@${url.host}${url.pathname}`;
};

/** The effective configuration in file form, secrets masked. */
const fileForm = (config: Config): Record<string, unknown> => ({
  ...(config.identity === undefined ? {} : { identity: config.identity }),
  listen: listenText(config.listen),
  ...fileOfTls(config.tls),
  data: config.data,
  policies: config.policies,
  schemas: config.schemas,
  entities: config.entities,
  ...(config.bundle ? { bundle: { file: config.bundle.file, public_keys: config.bundle.publicKeys } } : {}),
  engine: config.engine,
  store: shownStore(config),
  stale_ms_max: config.staleMsMax,
  callers: config.callers.map(fileOfCaller),
  ...fileOfTokens(config),
  alerts: config.alerts.map(({ name, url, urlFile, format, secretFile, allowPrivate, types }) => ({
    name,
    // What follows the host may be a secret.
    ...(url === undefined ? {} : { url: `${new URL(url).origin}/…` }),
    ...(urlFile === undefined ? {} : { url_file: urlFile }),
    format,
    ...(secretFile === undefined ? {} : { secret_file: secretFile }),
    allow_private: allowPrivate,
    types: [...types],
  })),
  recording: {
    properties: config.recording.properties,
    context: config.recording.context,
    mask: config.recording.mask.map((path) => path.join(".")),
  },
  sinks: config.sinks.map(fileOfStreamSink),
  ledger: {
    ...(config.ledger.origin === undefined ? {} : { origin: config.ledger.origin }),
    ...(config.ledger.anchor ? { anchor: config.ledger.anchor } : {}),
    heads_interval_ms: config.ledger.headsIntervalMs,
  },
  ...(config.retentionDays === undefined ? {} : { retention: { days: config.retentionDays } }),
  unregistered_agents: config.unregisteredAgents,
  body_bytes_max: config.bodyBytesMax,
  json_depth_max: config.jsonDepthMax,
  batch_items_max: config.batchItemsMax,
  chain_length_max: config.chainLengthMax,
  queue_acts_max: config.queueActsMax,
  ...fileOfLimits(config),
  metadata_max_age_seconds: config.metadataMaxAgeSeconds,
  ...(config.pageTokenKeyFile === undefined ? {} : { page_token_key_file: config.pageTokenKeyFile }),
  reload_interval_ms: config.reloadIntervalMs,
  shutdown_grace_ms: config.shutdownGraceMs,
  ...fileOfTraces(config.traces),
  log_level: config.logLevel,
});

/** What `remit config` prints: YAML that the file could hold, secrets masked. */
export const describeConfig = (config: Config): string => stringify(fileForm(config));

/** Names the configuration in every entry that it had a part in. */
export const configDigest = (config: Config): string => digestOf(fileForm(config));
