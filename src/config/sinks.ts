/** The sinks that entries are streamed to, as the configuration file has them. */
import { resolve } from "node:path";
import { z } from "zod";
import type { StreamSink } from "../ledger/stream.ts";

/** A sink of the file, defaults filled in. */
export type StreamSinkFile = {
  name: string;
  type: "file" | "http" | "stdout";
  file?: string | undefined;
  url?: string | undefined;
  token_file?: string | undefined;
  allow_private: boolean;
};

const fields = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be lower-case letters, digits, `-` and `_`")
    .describe("Name of the sink: how far it is, is kept under it"),
  type: z
    .enum(["file", "http", "stdout"])
    .describe("A file that lines are appended to, a URL that they are posted to, or the standard output"),
  file: z.string().min(1).optional().describe("The file, of type `file`"),
  url: z.string().optional().describe("Where batches are posted as lines of JSON, of type `http`"),
  token_file: z
    .string()
    .min(1)
    .optional()
    .describe("File of a bearer token, of type `http`, read for each batch"),
  allow_private: z
    .boolean()
    .default(false)
    .describe("Whether the URL may be at a private or local address, and without TLS"),
});

const urlFault = (text: string, allowPrivate: boolean): string | undefined => {
  if (!URL.canParse(text)) return "must be a URL";
  const { protocol, username, password, hash } = new URL(text);
  if (protocol !== "https:" && !(protocol === "http:" && allowPrivate))
    return "must be an https URL (http: with allow_private only)";
  return username === "" && password === "" && hash === "" ? undefined : "must be without user and fragment";
};

const shape = fields.superRefine((sink, context) => {
  const refuse = (field: string, message: string): void =>
    context.addIssue({ code: "custom", path: [field], message });
  if ((sink.type === "file") !== (sink.file !== undefined))
    refuse("file", "goes with type file, and only with it");
  if ((sink.type === "http") !== (sink.url !== undefined))
    refuse("url", "goes with type http, and only with it");
  if (sink.type !== "http" && sink.token_file !== undefined) refuse("token_file", "goes with type http only");
  const fault = sink.url === undefined ? undefined : urlFault(sink.url, sink.allow_private);
  if (fault !== undefined) refuse("url", fault);
});

export const streamSinkShape: z.ZodType<StreamSinkFile> = shape;

/** The same, to read its settings' descriptions from. */
export const streamSinkFields: z.ZodObject = fields;

/** A sink of the configuration file; its paths are relative to `base`. */
export const streamSinkOf = (sink: StreamSinkFile, base: string): StreamSink => {
  const { name, type, file, url, token_file: tokenFile, allow_private: allowPrivate } = sink;
  if (type === "file") return { name, type, file: resolve(base, file!) };
  if (type === "stdout") return { name, type };
  return {
    name,
    type,
    url: url!,
    allowPrivate,
    ...(tokenFile === undefined ? {} : { tokenFile: resolve(base, tokenFile) }),
  };
};

/** A sink as the file could hold it; what follows the host of a URL may be a secret. */
export const fileOfStreamSink = (sink: StreamSink): object => {
  const { name, type } = sink;
  if (type === "file") return { name, type, file: sink.file };
  if (type === "stdout") return { name, type };
  return {
    name,
    type,
    url: `${new URL(sink.url).origin}/…`,
    ...(sink.tokenFile === undefined ? {} : { token_file: sink.tokenFile }),
    allow_private: sink.allowPrivate,
  };
};
