/** The configuration file's shape: every knob with its default, its unit and a sentence. Unknown keys are errors. */
import { z } from "zod";
import { defaultAlgorithms } from "../identity/access-token.ts";
import {
  callerNamePattern,
  type Detail,
  details,
  reservedNames,
  type Scope,
  scopes,
} from "../identity/caller.ts";
import { isLoopback, parseListen } from "./listen.ts";

/** The file as parsed, defaults filled in. Written out so that the shape below is checked against it. */
export type ConfigFile = {
  identity?: string | undefined;
  listen: string;
  data: string;
  policies: string;
  schemas: string;
  entities?: string | undefined;
  engine: "reference";
  store: "sqlite";
  callers: {
    name: string;
    key_hash?: string | undefined;
    oauth?: { issuer: string; audience: string; client_id: string } | undefined;
    scopes: Scope[];
    detail: Detail;
    subjects: string[];
    agents: string[];
    actor_required: boolean;
    obligations: string[];
  }[];
  issuers: {
    issuer: string;
    jwks_uri?: string | undefined;
    jwks_file?: string | undefined;
    algorithms: string[];
  }[];
  unregistered_agents: boolean;
  body_bytes_max: number;
  json_depth_max: number;
  batch_items_max: number;
  chain_length_max: number;
  queue_acts_max: number;
  metadata_max_age_seconds: number;
  reload_interval_ms: number;
  shutdown_grace_ms: number;
  log_level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
};

const keyHash = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be `sha256:` and 64 hexadecimal digits");
const texts = z.array(z.string().min(1)).default([]);

const callerShape = z
  .strictObject({
    name: z
      .string()
      .regex(callerNamePattern, "must be 1 to 64 letters, digits, `.`, `_` or `-`")
      .refine((name) => !reservedNames.includes(name), "is a reserved name")
      .describe("Unique name; appears in the ledger"),
    key_hash: keyHash.optional().describe("Hash of the caller's API key, as `remit caller add` prints it"),
    oauth: z
      .strictObject({
        issuer: z.url(),
        audience: z.string().min(1),
        client_id: z.string().min(1),
      })
      .optional()
      .describe("Recognises the caller by an RFC 9068 access token"),
    scopes: z.array(z.enum(scopes)).min(1).describe("What the caller may use"),
    detail: z.enum(details).default("plain").describe("How much of the reasons it is told"),
    subjects: texts.describe("`TYPE::ID` it may ask about, a trailing `*` as prefix; empty: all"),
    agents: texts.describe("Agent ids it may name, a trailing `*` as prefix; empty: all"),
    actor_required: z.boolean().default(false).describe("Whether every question must name an acting agent"),
    obligations: texts.describe("Obligation types it can always fulfil"),
  })
  .refine((caller) => (caller.key_hash === undefined) !== (caller.oauth === undefined), {
    message: "needs either key_hash or oauth",
    path: ["key_hash"],
  });

const isAsymmetric = (name: string): boolean => /^(?:ES|PS|RS)(?:256|384|512)$|^EdDSA$|^Ed25519$/.test(name);

const issuerShape = z
  .strictObject({
    issuer: z.url().describe("The `iss` of its tokens, exactly"),
    jwks_uri: z.url().optional().describe("Where its keys are; default: what its metadata (RFC 8414) says"),
    jwks_file: z.string().min(1).optional().describe("A JSON Web Key Set on disk, instead"),
    algorithms: z
      .array(z.string().refine(isAsymmetric, "only asymmetric signature algorithms are accepted"))
      .min(1)
      .default([...defaultAlgorithms])
      .describe("Signature algorithms accepted from it"),
  })
  .refine((issuer) => issuer.jwks_uri === undefined || issuer.jwks_file === undefined, {
    message: "goes without jwks_uri",
    path: ["jwks_file"],
  });

/** An AuthZEN identity (§9.1.1): https, except on the machine itself, without query, fragment and trailing slash. */
const isIdentity = (text: string): boolean => {
  if (!URL.canParse(text) || /[?#]|\/$/.test(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname.replace(/^\[|\]$/g, "")));
};

const whole = (min: number, max: number): z.ZodCoercedNumber => z.coerce.number().int().min(min).max(max);

const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]);

const shape = z.strictObject({
  identity: z
    .string()
    .refine(isIdentity, "must be an https URL without query, fragment or trailing slash")
    .optional()
    .describe("The AuthZEN identity; without it, metadata is served on loopback only"),
  listen: z
    .string()
    .refine((text) => parseListen(text) !== undefined, "must be HOST:PORT")
    .default("127.0.0.1:8181")
    .describe("Address to listen on; port 0 takes a free one"),
  data: z.string().min(1).default("data").describe("Data directory: ledger, lock, admin key"),
  policies: z.string().min(1).default("policies").describe("Folder of `*.cedar` and `budgets.yaml`"),
  schemas: z.string().min(1).default("schemas").describe("Folder of `*.cedarschema`"),
  entities: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of entity files and `agents.yaml`; default: `entities` in the policies folder"),
  engine: z.enum(["reference"]).default("reference").describe("What evaluates policies"),
  store: z.enum(["sqlite"]).default("sqlite").describe("What keeps the ledger"),
  callers: z.array(callerShape).default([]).describe("Enforcement points that may ask"),
  issuers: z.array(issuerShape).default([]).describe("Where token issuers keep their keys"),
  unregistered_agents: flag.default(false).describe("Whether agents that are not registered may act"),
  body_bytes_max: whole(1024, 16_777_216).default(1_048_576).describe("Largest request body, in bytes"),
  json_depth_max: whole(8, 100).default(64).describe("Deepest nesting of a request body"),
  batch_items_max: whole(1, 10_000).default(1000).describe("Most evaluations in one request"),
  chain_length_max: whole(4, 64).default(8).describe("Longest chain of subject and agents"),
  queue_acts_max: whole(1, 1_000_000)
    .default(10_000)
    .describe("Questions that may wait for the ledger; beyond: 503"),
  metadata_max_age_seconds: whole(0, 86_400)
    .default(3600)
    .describe("How long metadata may be cached, in seconds"),
  reload_interval_ms: whole(20, 60_000)
    .default(150)
    .describe("How often the folders are looked at, in milliseconds"),
  shutdown_grace_ms: whole(0, 600_000)
    .default(10_000)
    .describe("Longest wait for open requests at the end, in milliseconds"),
  log_level: z
    .enum(["trace", "debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least severe log line written"),
});

export const configShape: z.ZodType<ConfigFile> = shape;

/** The settings' names, in file form, in the order of the reference. */
export const configKeys: readonly string[] = Object.keys(shape.shape);
