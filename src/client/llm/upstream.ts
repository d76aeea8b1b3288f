/** The one place that calls go to: its address is fixed, redirects are given back as errors, and nothing is decoded on the way. */
import http, { type IncomingMessage } from "node:http";
import https from "node:https";

export type Upstream = {
  /** Whether it is the provider itself, which knows every parameter that is added here. */
  original: boolean;
  /** Sends one request. Gives the answer once its head is there; rejects where none came. */
  send: (request: UpstreamRequest) => Promise<IncomingMessage>;
  close: () => void;
};

export type UpstreamRequest = {
  method: "GET" | "POST";
  /** Below `/v1`, with its query. */
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string;
  signal: AbortSignal;
};

/** Failures of connecting: nothing of the request reached the other side. */
const neverSent: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

export const wasNeverSent = (error: unknown): boolean =>
  error instanceof Error && "code" in error && neverSent.has(error.code);

const originals = /(?:^|\.)(?:openai\.com|anthropic\.com)$/;

/** Where `/v1` is: an address without a path means the provider's own layout. */
const baseOf = (url: URL): string => {
  const path = url.pathname.replace(/\/+$/, "");
  return path === "" ? "/v1" : path;
};

/** Makes the way to an upstream. `silenceMsMax` is how long it may send nothing. */
export const createUpstream = (address: string, silenceMsMax: number): Upstream => {
  const url = new URL(address);
  const base = baseOf(url);
  const secure = url.protocol === "https:";
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxFreeSockets: 64 });
  const start = secure ? https.request : http.request;
  return {
    original: originals.test(url.hostname),
    close: () => agent.destroy(),
    send: ({ method, path, headers, body, signal }) =>
      new Promise((resolve, reject) => {
        const request = start({
          protocol: url.protocol,
          hostname: url.hostname.replace(/^\[|\]$/g, ""),
          ...(url.port === "" ? {} : { port: url.port }),
          method,
          path: `${base}${path}`,
          agent,
          signal,
          timeout: silenceMsMax,
          headers: {
            ...headers,
            accept: "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": "remit-proxy",
            ...(body === undefined
              ? {}
              : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
          },
        });
        request.once("timeout", () => request.destroy(new Error("the upstream sent nothing for too long")));
        request.once("response", resolve);
        // Stays: a broken connection is told again after the answer began, to the answer.
        request.on("error", reject);
        request.end(body);
      }),
  };
};

/** Reads an answer whole. @throws Error where it is longer than `bytesMax` or breaks off */
export const readWhole = async (answer: IncomingMessage, bytesMax: number): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) {
      answer.destroy();
      throw new Error(`the upstream's answer is longer than ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  if (!answer.complete) throw new Error("the upstream's answer broke off");
  return Buffer.concat(chunks, length);
};
