/** Every knob of the service, as the rest of the code sees it: parsed once, frozen, passed as a value. */
import type { Sink } from "../alert/sink.ts";
import type { Caller } from "../identity/caller.ts";
import type { ForwardedIssuer } from "../identity/issuer.ts";
import type { TrustDomain } from "../identity/trust-domain.ts";
import type { StreamSink } from "../ledger/stream.ts";
import type { Anchor } from "../ledger/anchor.ts";
import type { LimitConfig, TlsConfig, TraceConfig } from "./limits.ts";
import type { ListenAt } from "./listen.ts";
import type { Recording } from "../ledger/recording.ts";

export type Config = LimitConfig & {
  /** The AuthZEN identity (`policy_decision_point`), an https URL; absent: none is configured. */
  identity?: string;
  listen: ListenAt;
  /** Absent: plain HTTP. */
  tls?: TlsConfig;
  /** Absent: no traces are collected. */
  traces?: TraceConfig;
  /** The URL of the PostgreSQL database that keeps the ledger; absent: SQLite does, in the data directory. */
  store?: string;
  /** How long a service that doesn't hear of changes made by others still decides. */
  staleMsMax: number;
  /** The data directory: ledger, lock, admin key. */
  data: string;
  policies: string;
  schemas: string;
  entities: string;
  /** Where policies come from a bundle file: it, and the public keys of which one must have signed it. */
  bundle?: { file: string; publicKeys: string[] };
  engine: "reference" | "checked" | "compiled";
  callers: Caller[];
  /** Who hears of alerts. */
  alerts: Sink[];
  /** What entries are streamed to. */
  sinks: StreamSink[];
  issuers: ForwardedIssuer[];
  trustDomains: TrustDomain[];
  /** URLs that proofs of possession may be for, where a caller's record names none. */
  proofUrls: string[];
  /** What of questions is kept. */
  recording: Recording;
  /** The log's name, where it isn't left to the first start, where its checkpoints go besides, how often heads are logged. */
  ledger: { origin?: string; anchor?: Anchor; headsIntervalMs: number };
  /** After how many days entries that were exported are pruned to their hashes; absent: never. */
  retentionDays?: number;
  /** Whether agents that are not registered may act. */
  unregisteredAgents: boolean;
  bodyBytesMax: number;
  jsonDepthMax: number;
  batchItemsMax: number;
  chainLengthMax: number;
  /** Acts that may wait for the ledger before questions are answered 503. */
  queueActsMax: number;
  metadataMaxAgeSeconds: number;
  /** The secrets of page tokens that several services share; absent: the service has its own. */
  pageTokenKeyFile?: string;
  /** How often the policy, schema and entity folders are looked at. */
  reloadIntervalMs: number;
  shutdownGraceMs: number;
  logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
};
