/** What all calls of a proxy share, and what its operator may set. */
import type { Client, ClientOptions } from "../client.ts";
import type { Agents } from "./agents.ts";
import type { CallRules, Dialect } from "./dialect.ts";
import type { Upstream } from "./upstream.ts";

export type LlmProxyOptions = {
  /** The provider's address: `https://api.openai.com`, say, or one that ends where its `/v1` is. */
  upstream: string;
  provider: "openai" | "anthropic";
  /** The provider's own key; a function is asked for each call. */
  upstreamKey?: string | (() => string) | undefined;
  /** Where Remit is, and how this proxy is known to it. */
  pdp: { url: string; key?: ClientOptions["key"]; timeoutMs?: number; plainHttp?: boolean };
  /** `port` 0 takes a free one. */
  listen: { host: string; port: number };
  /** Set where a request limits its output by nothing; 4096 by default. */
  outputTokensDefault?: number;
  /** The most tokens that one image can be. Without it images are refused. */
  imageTokensMax?: number;
  /** Parameters, tools (`tools.TYPE`), content (`content.TYPE`) and betas (`beta.NAME`) passed on at the operator's own risk. */
  allow?: readonly string[];
  bodyBytesMax?: number;
  /** How often an agent is looked at while its calls run; 1000 by default. */
  watchMs?: number;
  /** How often the hold of a running call is kept open, which tells whether it was stopped; 2000 by default. */
  beatMs?: number;
  /** After so long a silence an agent that names no run begins a new one; half an hour by default. */
  runIdleMs?: number;
  /** How long a stream is still read when its client went away, for its exact usage; 10 seconds by default. */
  readOnMs?: number;
  /** How long the provider may send nothing; 10 minutes by default. */
  silenceMs?: number;
  /** Further tries of a call that the provider did not take up; 1 by default. */
  retries?: number;
  onEvent?: (event: ProxyEvent) => void;
};

/** What an operator may want to read in a log. Holds no key and nothing of what was said. */
export type ProxyEvent = {
  event: "refused" | "settled" | "unpriced" | "unsettled" | "cut" | "failed";
  agent?: string;
  model?: string;
  hold?: string;
  reason?: string;
  message?: string;
};

export const usual = {
  outputTokensDefault: 4096,
  bodyBytesMax: 33_554_432,
  answerBytesMax: 134_217_728,
  eventBytesMax: 33_554_432,
  watchMs: 1000,
  beatMs: 2000,
  runIdleMs: 1_800_000,
  readOnMs: 10_000,
  silenceMs: 600_000,
  retries: 1,
  pdpTimeoutMs: 2000,
};

/** Everything that calls share. */
export type Desk = {
  options: LlmProxyOptions;
  client: Client;
  agents: Agents;
  dialect: Dialect;
  upstream: Upstream;
  rules: CallRules;
  running: Set<AbortController>;
  settling: Set<Promise<void>>;
  tell: (event: ProxyEvent) => void;
};
