/** What the proxy needs to know of a provider's API: how a call is read, bounded and capped, and where usage is told. */
import type { IncomingHttpHeaders } from "node:http";
import type { JsonObject } from "../../kit/json.ts";
import type { Refusal } from "./refusal.ts";

/** What the operator decided of the calls. */
export type CallRules = {
  /** Asked of the provider where a request doesn't limit its output. */
  outputTokensDefault: number;
  /** The most tokens that one image can be; without it images are refused. */
  imageTokensMax: number | undefined;
  /** Parameters, tools and content that are passed on though nothing here knows what they cost. */
  allow: ReadonlySet<string>;
  /** Whether the upstream is the provider itself, and not only compatible with it. */
  original: boolean;
};

/** A call as it was understood. */
export type Call = {
  model: string;
  /** No more tokens than these go in. */
  inputTokensMax: number;
  /** No more tokens than these come out, all choices together. */
  outputTokensMax: number;
  /** What is sent, with a limit on its output. */
  body: JsonObject;
  stream: boolean;
  /** Names what is asked, whatever the conversation before it. */
  digest: string;
  /** The body with a lower limit, or nothing where the provider would refuse one so low. */
  capped: (outputTokensMax: number) => JsonObject | undefined;
  /** Reads a stream of this call. */
  reader: () => StreamReader;
};

/** Follows the events of one stream. */
export type StreamReader = {
  /** Whether the event goes to the client, and whether it is the last word. */
  take: (event: string) => { forward: boolean; last: boolean };
  /** The usage that was told, in the words of a settlement; nothing before it is complete. */
  usage: () => JsonObject | undefined;
};

export type Endpoint = {
  /** Below `/v1`. */
  path: string;
  /** `free` calls need a permission and consume nothing. */
  metered: boolean;
  /** @throws Refusal for what can't be bounded */
  read: (body: JsonObject, rules: CallRules) => Call;
  /** The usage of a whole answer, in the words of a settlement. */
  usage: (answer: JsonObject) => JsonObject | undefined;
  /** An error as an event of a stream that has begun. */
  errorEvent: (refusal: Refusal) => string;
};

export type Dialect = {
  endpoints: readonly Endpoint[];
  /** The agent's key, wherever this provider's clients send keys. */
  agentKey: (headers: IncomingHttpHeaders) => string | undefined;
  /** Headers for the provider: its key, and what of the agent's headers may pass. @throws Refusal */
  upstreamHeaders: (
    key: string | undefined,
    headers: IncomingHttpHeaders,
    allow: ReadonlySet<string>,
  ) => Record<string, string>;
  errorBody: (refusal: Refusal) => JsonObject;
  /** Headers of the provider's answers that reach the agent. */
  answerHeaders: RegExp;
  /** Query parameters that pass. */
  query: (name: string, value: string) => boolean;
};
