/** One HTTP request to a sink: to a checked address, without redirects, within a time, and with little of the answer read. */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { type Address, checkedAddresses, type Resolve } from "./address.ts";

export type PostOptions = {
  headers: Readonly<Record<string, string>>;
  body: string;
  allowPrivate: boolean;
  resolve: Resolve;
  /** Longest time from the name's resolution to the answer's status. */
  timeoutMs: number;
  /** Gives the request up. */
  stop: AbortSignal;
};

export type Posted = {
  status: number;
  retryAfter: string | undefined;
  /** The beginning of the answer, for a person. */
  text: string;
};

const answerBytesMax = 16_384;
const answerMsMax = 1000;
const answerTextMax = 200;

/** Answers a socket with the addresses that were checked, whatever the name resolves to by now. */
const pinned =
  (addresses: readonly Address[]): LookupFunction =>
  (_host, { all }, callback) => {
    if (all === true) callback(null, [...addresses]);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };

/** Runs with a signal that fires after a time or with `stop`; then it fails with the signal's reason. */
const within = async <T>(
  timeoutMs: number,
  stop: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const end = new AbortController();
  const ended = new Promise<never>((_resolve, reject) => {
    end.signal.addEventListener("abort", () => reject(end.signal.reason), { once: true });
  });
  const onStop = (): void => end.abort(new Error("the delivery was stopped"));
  const timer = setTimeout(() => end.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  stop.addEventListener("abort", onStop, { once: true });
  if (stop.aborted) onStop();
  try {
    return await Promise.race([run(end.signal), ended]);
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", onStop);
  }
};

/** Reads an answer, up to bounds, and lets go of it. Its status has been told already: what fails from here is no matter. */
const drain = async (response: IncomingMessage): Promise<string> => {
  const timer = setTimeout(() => response.destroy(), answerMsMax);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= answerBytesMax) break;
    }
  } catch {
    // The connection broke or the time is over.
  }
  clearTimeout(timer);
  response.destroy();
  return Buffer.concat(chunks)
    .toString("utf8")
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, answerTextMax)
    .toWellFormed();
};

/** A request of its own for each post: no connection is reused that was made for other addresses. */
const answerTo = (
  url: URL,
  addresses: readonly Address[],
  { headers, body }: PostOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? requestHttps : requestHttp)(url, {
      method: "POST",
      agent: false,
      lookup: pinned(addresses),
      headers: {
        "User-Agent": "remit",
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
        ...headers,
      },
    });
    signal.addEventListener("abort", () => request.destroy(), { once: true });
    request.on("response", resolve);
    request.on("error", reject);
    request.on("close", () => reject(new Error("the connection was closed without an answer")));
    request.end(body);
  });

/**
 * Posts a JSON text.
 * @throws Error when there was no answer: the address is refused, the connection failed, or the time was over
 */
export const post = async (url: URL, options: PostOptions): Promise<Posted> => {
  const response = await within(options.timeoutMs, options.stop, async (signal) => {
    const addresses = await checkedAddresses(url.hostname, options);
    signal.throwIfAborted();
    return answerTo(url, addresses, options, signal);
  });
  const text = await drain(response);
  return { status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], text };
};
