/** Where alerts go: a sink's configuration, and what it needs from files when something is sent. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { type AlertType, alertTypes } from "./alert.ts";
import { readSecrets } from "./sign.ts";

export const sinkFormats = ["webhook", "slack"] as const;

export type SinkFormat = (typeof sinkFormats)[number];

export type Sink = {
  name: string;
  /** Either is there. */
  url?: string;
  urlFile?: string;
  format: SinkFormat;
  secretFile?: string;
  allowPrivate: boolean;
  /** The types it hears of; empty: all. */
  types: readonly AlertType[];
};

/** A sink as the configuration file has it, defaults filled in. */
export type SinkFile = {
  name: string;
  url?: string | undefined;
  url_file?: string | undefined;
  format: SinkFormat;
  secret_file?: string | undefined;
  allow_private: boolean;
  types: AlertType[];
};

/** What is wrong with a URL to send to, if anything. */
const urlFault = (text: string, allowPrivate: boolean): string | undefined => {
  if (!URL.canParse(text)) return "must be a URL";
  const { protocol, username, password, hash } = new URL(text);
  if (protocol !== "https:" && !(protocol === "http:" && allowPrivate))
    return "must be an https URL (http: with allow_private only)";
  if (username !== "" || password !== "" || hash !== "") return "must be without user and fragment";
  return undefined;
};

const shape = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be lower-case letters, digits, `-` and `_`")
      .describe("Name of the sink: deliveries are kept under it"),
    url: z.string().optional().describe("Where alerts are posted to"),
    url_file: z
      .string()
      .min(1)
      .optional()
      .describe("File that holds the URL, instead: an incoming webhook's URL is a secret"),
    format: z.enum(sinkFormats).describe("A signed Standard Webhooks event, or a Slack-compatible message"),
    secret_file: z
      .string()
      .min(1)
      .optional()
      .describe("File of `whsec_` secrets, one a line; all of them sign, so that they can be changed"),
    allow_private: z
      .boolean()
      .default(false)
      .describe("Whether it may be at a private or local address, and without TLS"),
    types: z.array(z.enum(alertTypes)).default([]).describe("Types of alerts it hears of; empty: all"),
  })
  .superRefine((sink, context) => {
    const refuse = (field: string, message: string): void =>
      context.addIssue({ code: "custom", path: [field], message });
    if ((sink.url === undefined) === (sink.url_file === undefined))
      refuse("url", "needs either url or url_file");
    const fault = sink.url === undefined ? undefined : urlFault(sink.url, sink.allow_private);
    if (fault !== undefined) refuse("url", fault);
    if (sink.format === "webhook" && sink.secret_file === undefined)
      refuse("secret_file", "is needed: a webhook is signed");
    if (sink.format === "slack" && sink.secret_file !== undefined)
      refuse("secret_file", "goes without format slack, which is not signed");
  });

/** A sink in the configuration file. */
export const sinkShape: z.ZodType<SinkFile> = shape;

/** The same, to read its settings' descriptions from. */
export const sinkFields: z.ZodObject = shape;

/** A sink of the configuration file; its paths are relative to `base`. */
export const sinkOf = (file: SinkFile, base: string): Sink => ({
  name: file.name,
  ...(file.url === undefined ? {} : { url: file.url }),
  ...(file.url_file === undefined ? {} : { urlFile: resolve(base, file.url_file) }),
  format: file.format,
  ...(file.secret_file === undefined ? {} : { secretFile: resolve(base, file.secret_file) }),
  allowPrivate: file.allow_private,
  types: file.types,
});

/** The names of the sinks that hear of alerts of a type: what the outbox is told with the alert. */
export const sinksFor = (sinks: readonly Sink[], type: AlertType): string[] =>
  sinks.filter(({ types }) => types.length === 0 || types.includes(type)).map(({ name }) => name);

export type Endpoint = { url: URL; secrets: Uint8Array[] };

const readSetting = async <T>(setting: string, file: string, parse: (text: string) => T): Promise<T> => {
  try {
    return parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new Error(`${setting} can't be used: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
};

const parseUrl = (text: string, allowPrivate: boolean): URL => {
  const fault = urlFault(text, allowPrivate);
  if (fault !== undefined) throw new Error(fault);
  return new URL(text);
};

/**
 * The URL and secrets of a sink, read anew each time: they can be changed while the service runs.
 * @throws Error that says which setting can't be used; it never tells the URL or a secret
 */
export const openSink = async ({
  url,
  urlFile,
  secretFile,
  allowPrivate,
}: Pick<Sink, "url" | "urlFile" | "secretFile" | "allowPrivate">): Promise<Endpoint> => {
  const from = (text: string): URL => parseUrl(text.trim(), allowPrivate);
  return {
    url: urlFile === undefined ? from(url ?? "") : await readSetting("url_file", urlFile, from),
    secrets: secretFile === undefined ? [] : await readSetting("secret_file", secretFile, readSecrets),
  };
};
