/** The configuration file's shape: every knob with its default, its unit and a sentence. Unknown keys are errors. */
import { z } from "zod";
import { sinkFields, type SinkFile, sinkShape } from "../alert/sink.ts";
import {
  callerNamePattern,
  type Detail,
  details,
  reservedNames,
  type Scope,
  scopes,
} from "../identity/caller.ts";
import { defaultAlgorithms, isProofUrl, isSafeUrl } from "../identity/issuer.ts";
import { trustDomainPattern } from "../identity/trust-domain.ts";
import { maskOf } from "../ledger/recording.ts";
import { streamSinkFields, type StreamSinkFile, streamSinkShape } from "./sinks.ts";
import {
  certificateShape,
  type LimitFile,
  limitFields,
  rateShape,
  type TlsFile,
  tlsShape,
  type TraceFile,
  traceShape,
} from "./limits.ts";
import { parseListenAt } from "./listen.ts";
import { type Setting, settingsOf } from "./settings.ts";
import { storeFields, type StoreFile } from "./store.ts";

/** The file as parsed, defaults filled in. Written out so that the shape below is checked against it. */
export type ConfigFile = LimitFile &
  StoreFile & {
    tls?: TlsFile | undefined;
    traces?: TraceFile | undefined;
    identity?: string | undefined;
    listen: string;
    data: string;
    policies: string;
    schemas: string;
    entities?: string | undefined;
    bundle?: { file: string; public_keys: string[] } | undefined;
    engine: "reference" | "checked" | "compiled";
    callers: {
      name: string;
      key_hash?: string | undefined;
      oauth?: { issuer: string; audience: string; client_id: string } | undefined;
      certificate?:
        | { sha256?: string | undefined; subject?: string | undefined; san?: string | undefined }
        | undefined;
      rate?: { per_second: number; burst: number } | undefined;
      scopes: Scope[];
      detail: Detail;
      subjects: string[];
      agents: string[];
      actor_required: boolean;
      token_required: boolean;
      proof_urls: string[];
      obligations: string[];
    }[];
    issuers: {
      issuer: string;
      jwks_uri?: string | undefined;
      jwks_file?: string | undefined;
      algorithms: string[];
      audiences: string[];
      max_token_lifetime_seconds: number;
      user_clients: string[];
      actor_issuers: string[];
      introspection?:
        | { endpoint: string; client_id: string; client_secret_file: string; token_prefix: string }
        | undefined;
    }[];
    trust_domains: {
      trust_domain: string;
      bundle_url?: string | undefined;
      bundle_file?: string | undefined;
      audiences: string[];
      max_token_lifetime_seconds: number;
    }[];
    proof_urls: string[];
    alerts: SinkFile[];
    sinks: StreamSinkFile[];
    ledger: {
      origin?: string | undefined;
      anchor?: { file?: string | undefined; url?: string | undefined } | undefined;
      heads_interval_ms: number;
    };
    recording: {
      properties: "full" | "digest" | string[];
      context: "full" | "digest" | string[];
      mask: string[];
    };
    retention?: { days: number } | undefined;
    unregistered_agents: boolean;
    body_bytes_max: number;
    json_depth_max: number;
    batch_items_max: number;
    chain_length_max: number;
    queue_acts_max: number;
    metadata_max_age_seconds: number;
    page_token_key_file?: string | undefined;
    reload_interval_ms: number;
    shutdown_grace_ms: number;
    log_level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  };

const whole = (min: number, max: number): z.ZodNumber => z.number().int().min(min).max(max);

const keyHash = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be `sha256:` and 64 hexadecimal digits");
const texts = z.array(z.string().min(1)).default([]);

const safeUrl = z
  .string()
  .refine(isSafeUrl, "must be an https URL without user and fragment (http: on loopback only)");

const proofUrls = z
  .array(
    z
      .string()
      .refine(isProofUrl, "must be an https URL without user, query and fragment (http: on loopback only)"),
  )
  .default([]);

const lifetimeSeconds = z.number().int().min(1).max(31_536_000).default(3600);

/** Says of every name but the first of its kind that it stands twice; `undefined` is no name. */
const unique =
  <T>(field: string, nameOf: (item: T) => string | undefined) =>
  (items: T[], context: z.RefinementCtx): void => {
    const seen = new Set<string>();
    for (const [position, item] of items.entries()) {
      const name = nameOf(item);
      if (name === undefined) continue;
      if (seen.has(name))
        context.addIssue({ code: "custom", message: "stands twice", path: [position, field] });
      seen.add(name);
    }
  };

const callerShape = z
  .strictObject({
    name: z
      .string()
      .regex(callerNamePattern, "must be 1 to 64 letters, digits, `.`, `_` or `-`")
      .refine((name) => !reservedNames.includes(name), "is a reserved name")
      .describe("Unique name; appears in the ledger"),
    key_hash: keyHash.optional().describe("`sha256:` and the SHA-256 of its API key in hexadecimal digits"),
    oauth: z
      .strictObject({
        issuer: safeUrl.describe("The `iss` of its tokens, exactly"),
        audience: z.string().min(1).describe("The `aud` that its tokens must hold: a name of this service"),
        client_id: z.string().min(1).describe("The `client_id` of its tokens"),
      })
      .optional()
      .describe("Recognises the caller by an RFC 9068 access token"),
    certificate: certificateShape
      .optional()
      .describe("Recognises the caller by its client certificate (`tls`)"),
    rate: rateShape.optional().describe("How often it may ask; beyond: 429. Default: `caller_rate_max`"),
    scopes: z.array(z.enum(scopes)).min(1).describe("What the caller may use"),
    detail: z.enum(details).default("plain").describe("How much of the reasons it is told"),
    subjects: texts.describe("`TYPE::ID` it may ask about, a trailing `*` as prefix; empty: all"),
    agents: texts.describe("Agent ids it may name, a trailing `*` as prefix; empty: all"),
    actor_required: z.boolean().default(false).describe("Whether every question must name an acting agent"),
    token_required: z
      .boolean()
      .default(false)
      .describe("Whether every question must bear tokens for its subject and its acting agent"),
    proof_urls: proofUrls.describe("As `proof_urls` of the service, for this caller"),
    obligations: texts.describe("Obligation types it can always fulfil"),
  })
  .refine(
    ({ key_hash, oauth, certificate }) =>
      [key_hash, oauth, certificate].filter((each) => each !== undefined).length === 1,
    { message: "needs either key_hash, oauth or certificate", path: ["key_hash"] },
  );

const isAsymmetric = (name: string): boolean => /^(?:ES|PS|RS)(?:256|384|512)$|^EdDSA$|^Ed25519$/.test(name);

const issuerShape = z
  .strictObject({
    issuer: safeUrl.describe("The `iss` of its tokens, exactly"),
    jwks_uri: safeUrl.optional().describe("Where its keys are; default: what its metadata (RFC 8414) says"),
    jwks_file: z.string().min(1).optional().describe("A JSON Web Key Set on disk, instead"),
    algorithms: z
      .array(z.string().refine(isAsymmetric, "only asymmetric signature algorithms are accepted"))
      .min(1)
      .default([...defaultAlgorithms])
      .describe("Signature algorithms accepted from it"),
    audiences: texts.describe(
      "`aud` of the tokens of it that may be forwarded, any of them; empty: none may be",
    ),
    max_token_lifetime_seconds: lifetimeSeconds.describe(
      "The longest that a forwarded token may be valid for",
    ),
    user_clients: texts.describe(
      "Client ids that are people's own applications: as `tokens.subject`, their tokens name no agent",
    ),
    actor_issuers: texts.describe("Issuers whose actors its tokens may name in `act`, besides itself"),
    introspection: z
      .strictObject({
        endpoint: safeUrl.describe("Where it is asked (RFC 7662)"),
        client_id: z.string().min(1).describe("As whom"),
        client_secret_file: z
          .string()
          .min(1)
          .describe("File that holds the secret, for HTTP Basic authentication"),
        token_prefix: z
          .string()
          .default("")
          .describe("How its opaque tokens begin: others are not shown to it"),
      })
      .optional()
      .describe("How it is asked about opaque tokens; without it, none of it is accepted"),
  })
  .refine((issuer) => issuer.jwks_uri === undefined || issuer.jwks_file === undefined, {
    message: "goes without jwks_uri",
    path: ["jwks_file"],
  });

const trustDomainShape = z
  .strictObject({
    trust_domain: z
      .string()
      .regex(trustDomainPattern, "must be the name of a trust domain, such as `example.org`")
      .describe("Name of the SPIFFE trust domain"),
    bundle_url: safeUrl.optional().describe("Where its bundle is"),
    bundle_file: z.string().min(1).optional().describe("Its bundle on disk, instead"),
    audiences: texts.describe(
      "`aud` of the JWT-SVIDs that may be forwarded, any of them; empty: none may be",
    ),
    max_token_lifetime_seconds: lifetimeSeconds.describe("The longest that a token of it may be valid for"),
  })
  .refine((domain) => (domain.bundle_url === undefined) !== (domain.bundle_file === undefined), {
    message: "needs either bundle_url or bundle_file",
    path: ["bundle_url"],
  });

const ledgerShape = z.strictObject({
  origin: z
    .string()
    .regex(/^[^\s+]{1,200}$/, "must be a name without spaces and `+`, best a host and a path")
    .optional()
    .describe("Name of the log and its keys, fixed at the first start; default: after the identity"),
  anchor: z
    .strictObject({
      file: z.string().min(1).optional().describe("A file that each checkpoint is appended to"),
      url: safeUrl.optional().describe("An https URL that each checkpoint is posted to"),
    })
    .refine(({ file, url }) => (file === undefined) !== (url === undefined), "needs either file or url")
    .optional()
    .describe("Where checkpoints go besides: out of reach of whoever can write the data directory"),
  heads_interval_ms: z
    .number()
    .int()
    .min(1000)
    .max(86_400_000)
    .default(3_600_000)
    .describe("How often the ends of all chains are logged while entries come, in milliseconds"),
});

const kept = z.union([z.enum(["full", "digest"]), z.array(z.string().min(1)).min(1)], {
  error: "must be `full`, `digest` or a list of keys",
});

const recordingShape = z.strictObject({
  properties: kept
    .default("full")
    .describe("Of the properties of subject, action and resource: `full`, `digest`, or the keys to keep"),
  context: kept.default("full").describe("Of the context, likewise; `context.remit` is always kept"),
  mask: z
    .array(
      z.string().superRefine((text, context) => {
        const mask = maskOf(text);
        if ("fault" in mask) context.addIssue({ code: "custom", message: mask.fault });
      }),
    )
    .default([])
    .describe("Paths of what never reaches the disk: `context.headers.authorization`, `*` for any key"),
});

const bundleShape = z.strictObject({
  file: z.string().min(1).describe("The bundle, as `remit policy bundle` writes it"),
  public_keys: texts.describe(
    "Files of Ed25519 public keys in PEM, of which one must have signed it; empty: it needn't be signed",
  ),
});

/** An AuthZEN identity (§9.1.1): https, except on the machine itself, without query, fragment and trailing slash. */
const isIdentity = (text: string): boolean => isSafeUrl(text) && !/[?]|\/$/.test(text);

const shape = z.strictObject({
  identity: z
    .string()
    .refine(isIdentity, "must be an https URL without user, query, fragment or trailing slash")
    .optional()
    .describe("The AuthZEN identity; without it, metadata is served on loopback only"),
  listen: z
    .string()
    .refine((text) => parseListenAt(text) !== undefined, "must be HOST:PORT or unix:/PATH")
    .default("127.0.0.1:8181")
    .describe("Address to listen on, or `unix:/PATH` for a socket; port 0 takes a free one"),
  tls: tlsShape
    .optional()
    .describe("Serves TLS; certificates are taken over within a second of their change"),
  data: z.string().min(1).default("data").describe("Data directory: ledger, lock, admin key"),
  policies: z.string().min(1).default("policies").describe("Folder of `*.cedar` and `budgets.yaml`"),
  schemas: z.string().min(1).default("schemas").describe("Folder of `*.cedarschema`"),
  entities: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of entity files and `agents.yaml`; default: `entities` in the policies folder"),
  bundle: bundleShape.optional().describe("Takes policies from a bundle file, and none from the folders"),
  engine: z
    .enum(["reference", "checked", "compiled"])
    .default("compiled")
    .describe(
      "What evaluates policies: Cedar, the compiled engine with samples checked against Cedar, or both with Cedar's answer counting",
    ),
  ...storeFields,
  callers: z
    .array(callerShape)
    .superRefine(unique("name", ({ name }) => name))
    .superRefine(unique("key_hash", ({ key_hash }) => key_hash))
    .superRefine(unique("certificate", ({ certificate }) => certificate && JSON.stringify(certificate)))
    .superRefine(unique("oauth", ({ oauth }) => oauth && JSON.stringify(Object.values(oauth))))
    .default([])
    .describe("Enforcement points that may ask"),
  issuers: z
    .array(issuerShape)
    .superRefine(unique("issuer", ({ issuer }) => issuer))
    .superRefine(unique("introspection", ({ introspection }) => introspection?.token_prefix))
    .default([])
    .describe("Where token issuers keep their keys, and which of their tokens may be forwarded"),
  trust_domains: z
    .array(trustDomainShape)
    .superRefine(unique("trust_domain", ({ trust_domain }) => trust_domain))
    .default([])
    .describe("SPIFFE trust domains whose workloads are believed"),
  proof_urls: proofUrls.describe(
    "URLs at which enforcement points take agents' requests, and which proofs of possession may be for; one that ends in `/` stands for all below",
  ),
  alerts: z
    .array(sinkShape)
    .max(16)
    .superRefine(unique("name", ({ name }) => name))
    .default([])
    .describe("Who hears of alerts: signed webhooks and Slack-compatible messages"),
  recording: recordingShape
    .default({ properties: "full", context: "full", mask: [] })
    .describe(
      "What of questions is kept beside their entries; by default all, so that they can be judged again",
    ),
  sinks: z
    .array(streamSinkShape)
    .max(16)
    .superRefine(unique("name", ({ name }) => name))
    .default([])
    .describe("What every entry is streamed to, a SIEM for instance: in order, at least once"),
  ledger: ledgerShape
    .default({ heads_interval_ms: 3_600_000 })
    .describe("The log's name, and where its checkpoints are anchored"),
  retention: z
    .strictObject({
      days: whole(1, 36_500).describe("Days after which entries are pruned to their hashes"),
    })
    .optional()
    .describe("Prunes old entries by itself, those that were exported and are under no legal hold"),
  unregistered_agents: z.boolean().default(false).describe("Whether agents that are not registered may act"),
  body_bytes_max: whole(1024, 16_777_216).default(1_048_576).describe("Largest request body, in bytes"),
  json_depth_max: whole(8, 100).default(64).describe("Deepest nesting of a request body"),
  batch_items_max: whole(1, 10_000).default(1000).describe("Most evaluations in one request"),
  chain_length_max: whole(4, 64).default(8).describe("Longest chain of subject and agents"),
  queue_acts_max: whole(1, 1_000_000)
    .default(10_000)
    .describe("Questions that may wait for the ledger; beyond: 503"),
  ...limitFields,
  metadata_max_age_seconds: whole(0, 86_400)
    .default(3600)
    .describe("How long metadata may be cached, in seconds"),
  page_token_key_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "File of the secrets that seal page tokens, for services that share them: 32 random bytes in base64url a line; the first seals, all open. Default: one of its own in the data directory",
    ),
  reload_interval_ms: whole(20, 60_000)
    .default(150)
    .describe("How often the folders are looked at, in milliseconds"),
  shutdown_grace_ms: whole(0, 600_000)
    .default(10_000)
    .describe("Longest wait for open requests at the end, in milliseconds"),
  traces: traceShape
    .optional()
    .describe("Sends OpenTelemetry traces; its packages have to be installed beside"),
  log_level: z
    .enum(["trace", "debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least severe log line written"),
});

export const configShape: z.ZodType<ConfigFile> = shape;

export const settings: readonly Setting[] = settingsOf(shape);
export const callerSettings: readonly Setting[] = settingsOf(callerShape);
export const oauthSettings: readonly Setting[] = settingsOf(callerShape.shape.oauth.unwrap());
export const certificateSettings: readonly Setting[] = settingsOf(certificateShape);
export const rateSettings: readonly Setting[] = settingsOf(rateShape);
export const traceSettings: readonly Setting[] = settingsOf(traceShape);
export const tlsSettings: readonly Setting[] = settingsOf(tlsShape);
export const sinkSettings: readonly Setting[] = settingsOf(sinkFields);
export const bundleSettings: readonly Setting[] = settingsOf(bundleShape);
export const recordingSettings: readonly Setting[] = settingsOf(recordingShape);
export const streamSinkSettings: readonly Setting[] = settingsOf(streamSinkFields);
export const ledgerSettings: readonly Setting[] = settingsOf(ledgerShape);
export const issuerSettings: readonly Setting[] = settingsOf(issuerShape);
export const introspectionSettings: readonly Setting[] = settingsOf(issuerShape.shape.introspection.unwrap());
export const trustDomainSettings: readonly Setting[] = settingsOf(trustDomainShape);
