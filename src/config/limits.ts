/** Bounds on what a request may take and how it travels, between the file's form and the code's. */
import { resolve } from "node:path";
import { z } from "zod";
import { rateMax } from "../identity/caller.ts";

/** Bounds, as the code knows them. */
export type LimitConfig = {
  headerBytesMax: number;
  connectionsMax: number;
  requestsMax: number;
  /** A wait that shows a standing queue; 0: load is never shed for it. */
  shedWaitMs: number;
  receiveMsMax: number;
  answerMsMax: number;
  idleMsMax: number;
  /** Questions a second that callers without a rate of their own may ask; 0: as many as they like. */
  callerRateMax: number;
  /** How many proxies in front append to `X-Forwarded-For`. */
  proxyHops: number;
};

export type TlsConfig = {
  certFile: string;
  keyFile: string;
  clientCaFile?: string;
  clientRequired: boolean;
};

export type LimitFile = {
  header_bytes_max: number;
  connections_max: number;
  requests_max: number;
  shed_wait_ms: number;
  receive_ms_max: number;
  answer_ms_max: number;
  idle_ms_max: number;
  caller_rate_max: number;
  proxy_hops: number;
};

export type TlsFile = {
  cert_file: string;
  key_file: string;
  client_ca_file?: string | undefined;
  client_certificates: "optional" | "required";
};

const whole = (min: number, max: number): z.ZodNumber => z.number().int().min(min).max(max);

export const limitFields: { [Name in keyof LimitFile]: z.ZodDefault<z.ZodNumber> } = {
  header_bytes_max: whole(1024, 262_144)
    .default(16_384)
    .describe("Largest head of a request, in bytes; beyond: 431"),
  connections_max: whole(1, 1_000_000)
    .default(10_000)
    .describe("Most connections; beyond, new ones are closed at once"),
  requests_max: whole(1, 100_000).default(2000).describe("Most requests that are open at once; beyond: 503"),
  shed_wait_ms: whole(0, 60_000)
    .default(10)
    .describe(
      "A wait that even the luckiest request has, in milliseconds, at which fewer requests are taken in at once, but never fewer than 128; 0: never fewer",
    ),
  receive_ms_max: whole(100, 600_000)
    .default(10_000)
    .describe("Longest that a request may take to arrive whole, in milliseconds; beyond: 408"),
  answer_ms_max: whole(10, 600_000)
    .default(5000)
    .describe("Longest that a question or search may take, in milliseconds; beyond: 503"),
  idle_ms_max: whole(1000, 3_600_000)
    .default(65_000)
    .describe(
      "How long a connection without a request is kept open, in milliseconds: longer than a proxy in front keeps it",
    ),
  caller_rate_max: whole(0, 1_000_000)
    .default(0)
    .describe(
      "Questions a second that a caller may ask which has no `rate` of its own, twice as many at once; beyond: 429; 0: as many as it likes",
    ),
  proxy_hops: whole(0, 10)
    .default(0)
    .describe(
      "How many proxies in front append to `X-Forwarded-For`: so many from its end is the client's address, for the log; 0: none is believed",
    ),
};

export const tlsShape: z.ZodObject<
  {
    cert_file: z.ZodString;
    key_file: z.ZodString;
    client_ca_file: z.ZodOptional<z.ZodString>;
    client_certificates: z.ZodDefault<z.ZodEnum<{ optional: "optional"; required: "required" }>>;
  },
  z.core.$strict
> = z.strictObject({
  cert_file: z.string().min(1).describe("The certificate and those between it and its authority, in PEM"),
  key_file: z.string().min(1).describe("Its private key, in PEM"),
  client_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Authorities whose certificates of clients are believed, in PEM; without it, none is asked for",
    ),
  client_certificates: z
    .enum(["optional", "required"])
    .default("optional")
    .describe("Whether whoever has no such certificate is refused before it can ask"),
});

type CertificateFields = Record<"sha256" | "subject" | "san", z.ZodOptional<z.ZodString>>;

/** Which client certificate a caller is known by. */
export const certificateShape: z.ZodObject<CertificateFields, z.core.$strict> = z
  .strictObject({
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be 64 hexadecimal digits, in lower case")
      .optional()
      .describe("The SHA-256 of the certificate"),
    subject: z
      .string()
      .min(1)
      .optional()
      .describe("Its whole subject, in its own order, such as `O=Example,CN=gateway`"),
    san: z
      .string()
      .regex(
        /^(?:DNS|URI|IP Address|email):\S+$/,
        "must be a kind and a name, such as `DNS:gateway.example.org`",
      )
      .optional()
      .describe("One of its alternative names with its kind, such as `URI:spiffe://example.org/gateway`"),
  })
  .refine((name) => Object.values(name).filter((part) => part !== undefined).length === 1, {
    message: "needs one of sha256, subject and san",
  });

/** How often a caller may ask. */
export const rateShape: z.ZodObject<
  Record<"per_second" | "burst", z.ZodNumber>,
  z.core.$strict
> = z.strictObject({
  per_second: z.number().positive().max(rateMax.perSecond).describe("Questions a second, in the long run"),
  burst: whole(1, rateMax.burst).describe("Questions at once"),
});

export const limitsOf = (file: LimitFile): LimitConfig => ({
  headerBytesMax: file.header_bytes_max,
  connectionsMax: file.connections_max,
  requestsMax: file.requests_max,
  shedWaitMs: file.shed_wait_ms,
  receiveMsMax: file.receive_ms_max,
  answerMsMax: file.answer_ms_max,
  idleMsMax: file.idle_ms_max,
  callerRateMax: file.caller_rate_max,
  proxyHops: file.proxy_hops,
});

export const fileOfLimits = (config: LimitConfig): LimitFile => ({
  header_bytes_max: config.headerBytesMax,
  connections_max: config.connectionsMax,
  requests_max: config.requestsMax,
  shed_wait_ms: config.shedWaitMs,
  receive_ms_max: config.receiveMsMax,
  answer_ms_max: config.answerMsMax,
  idle_ms_max: config.idleMsMax,
  caller_rate_max: config.callerRateMax,
  proxy_hops: config.proxyHops,
});

/** `base` is where relative paths start. */
export const tlsOf = (file: TlsFile | undefined, base: string): { tls?: TlsConfig } =>
  file
    ? {
        tls: {
          certFile: resolve(base, file.cert_file),
          keyFile: resolve(base, file.key_file),
          ...(file.client_ca_file === undefined ? {} : { clientCaFile: resolve(base, file.client_ca_file) }),
          clientRequired: file.client_certificates === "required",
        },
      }
    : {};

export const fileOfTls = (tls: TlsConfig | undefined): { tls?: TlsFile } =>
  tls
    ? {
        tls: {
          cert_file: tls.certFile,
          key_file: tls.keyFile,
          ...(tls.clientCaFile === undefined ? {} : { client_ca_file: tls.clientCaFile }),
          client_certificates: tls.clientRequired ? "required" : "optional",
        },
      }
    : {};

export type TraceConfig = { url: string; headersFile?: string; sample: number };

export type TraceFile = { url: string; headers_file?: string | undefined; sample: number };

export const traceShape: z.ZodObject<
  { url: z.ZodURL; headers_file: z.ZodOptional<z.ZodString>; sample: z.ZodDefault<z.ZodNumber> },
  z.core.$strict
> = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .describe("Where spans are posted to by OTLP over HTTP, such as `http://localhost:4318/v1/traces`"),
  headers_file: z
    .string()
    .min(1)
    .optional()
    .describe("File of headers to send with them, `name: value` a line: they may hold a secret"),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("Which part of the traces is kept that nobody began before, 0 to 1"),
});

export const tracesOf = (file: TraceFile | undefined, base: string): { traces?: TraceConfig } =>
  file
    ? {
        traces: {
          url: file.url,
          ...(file.headers_file === undefined ? {} : { headersFile: resolve(base, file.headers_file) }),
          sample: file.sample,
        },
      }
    : {};

export const fileOfTraces = (traces: TraceConfig | undefined): { traces?: TraceFile } =>
  traces
    ? {
        traces: {
          url: traces.url,
          ...(traces.headersFile === undefined ? {} : { headers_file: traces.headersFile }),
          sample: traces.sample,
        },
      }
    : {};
