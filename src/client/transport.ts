/**
 * One HTTP request and its answer, as a value whatever happens: within the deadline, bounded, strictly parsed, tried
 * once more where the PDP was not reached or said 503, under the same idempotency key.
 */
import { isObject, JsonError, type JsonObject, parseJson } from "../kit/json.ts";
import type { Deadline } from "./deadline.ts";
import { failure, type Result, success } from "./fault.ts";

/** What a custom `fetch` must do; `redirect` is always `manual`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** An API key or access token, or what gives one for each call. */
export type Key = string | (() => string | Promise<string>);

export type TransportOptions = {
  fetch: Fetch;
  key: Key | undefined;
  answerBytesMax: number;
};

export type Ask = {
  method: "GET" | "POST";
  url: string;
  body?: JsonObject;
  requestId: string;
  idempotencyKey?: string;
  /** Metadata is public: the key goes to no address that isn't confirmed yet. */
  anonymous?: boolean;
  /** Takes any 2xx, with or without a body; AuthZEN's answers are 200 alone. */
  anySuccess?: boolean;
};

export type Answer = { body: JsonObject; headers: Headers };

export type Transport = (ask: Ask, deadline: Deadline) => Promise<Result<Answer>>;

/** Visible ASCII: what may stand in a header without changing its meaning. */
const headerText = /^[\x21-\x7e]+$/;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The least and the spread of the wait before a second try that no `Retry-After` asks for. */
const retryWaitMs = { least: 20, spread: 80 };

const messageChars = 300;

/** RFC 9110 §10.2.3: seconds or a date. */
const readRetryAfter = (headers: Headers): number | undefined => {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
};

type Whole = { status: number; headers: Headers; bytes: Uint8Array };

/** Reads a body up to `bytesMax`; what is longer is cut off, not buffered. */
const readBounded = async (response: Response, bytesMax: number): Promise<Whole | "too large"> => {
  const { status, headers, body } = response;
  if (body === null) return { status, headers, bytes: new Uint8Array() };
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { status, headers, bytes: Buffer.concat(chunks, length) };
    length += value.byteLength;
    if (length > bytesMax) {
      await reader.cancel().catch(() => {});
      return "too large";
    }
    chunks.push(value);
  }
};

const isJson = (headers: Headers): boolean =>
  (headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase() === "application/json";

const readJson = ({ headers, bytes }: Whole): Result<JsonObject> => {
  if (!isJson(headers)) return failure("not_json", "the answer is not of type application/json");
  try {
    const value = parseJson(utf8.decode(bytes));
    return isObject(value) ? success(value) : failure("invalid_answer", "the answer is JSON, but no object");
  } catch (error) {
    const why = error instanceof JsonError ? error.message : "not UTF-8";
    return failure("not_json", `the answer is not strict JSON: ${why}`);
  }
};

const statusFault = (whole: Whole): Result<never> => {
  const { status, headers } = whole;
  const body = readJson(whole);
  const { message, code } = body.ok ? body.value : {};
  const said = typeof message === "string" ? `: ${message.slice(0, messageChars)}` : "";
  return failure("http_status", `the PDP answered ${status}${said}`, {
    status,
    code: typeof code === "string" ? code : undefined,
    retryAfterMs: readRetryAfter(headers),
  });
};

const readAnswer = (whole: Whole, ask: Ask): Result<Answer> => {
  const { status, headers, bytes } = whole;
  const success2xx = ask.anySuccess === true && status > 200 && status < 300;
  if (status !== 200 && !success2xx) return statusFault(whole);
  const echoed = headers.get("x-request-id");
  if (echoed !== null && echoed !== ask.requestId)
    return failure("request_id_mismatch", "the answer bears the id of another request");
  if (ask.anySuccess && bytes.length === 0) return success({ body: {}, headers });
  const body = readJson(whole);
  return body.ok ? success({ body: body.value, headers }) : body;
};

const rootCause = (error: unknown): string => {
  let cause = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  return cause instanceof Error ? cause.message : String(cause);
};

const keyHeader = async (key: Key | undefined): Promise<Result<Record<string, string>>> => {
  if (key === undefined) return success({});
  let value: unknown;
  try {
    value = typeof key === "string" ? key : await key();
  } catch {
    // What it threw may hold the secret.
    return failure("no_credentials", "the key could not be had");
  }
  return typeof value === "string" && headerText.test(value)
    ? success({ authorization: `Bearer ${value}` })
    : failure("no_credentials", "the key is not a string of visible characters");
};

const headersOf = async (ask: Ask, key: Key | undefined): Promise<Result<Record<string, string>>> => {
  const credentials = ask.anonymous ? success({}) : await keyHeader(key);
  if (!credentials.ok) return credentials;
  return success({
    accept: "application/json",
    "x-request-id": ask.requestId,
    ...(ask.body === undefined ? {} : { "content-type": "application/json" }),
    ...(ask.idempotencyKey === undefined ? {} : { "idempotency-key": ask.idempotencyKey }),
    ...credentials.value,
  });
};

const canTryAgain = (result: Result<unknown>): boolean =>
  !result.ok && (result.fault.reason === "unreachable" || result.fault.status === 503);

/** Makes the function that sends requests. It never rejects. */
export const createTransport = ({ fetch, key, answerBytesMax }: TransportOptions): Transport => {
  const attempt = async (
    ask: Ask,
    body: string | undefined,
    { signal }: Deadline,
  ): Promise<Result<Answer>> => {
    const headers = await headersOf(ask, key);
    if (!headers.ok) return headers;
    try {
      const response = await fetch(ask.url, {
        method: ask.method,
        headers: headers.value,
        // A redirect would carry the question, and the key, to an address that nobody configured.
        redirect: "manual",
        signal,
        ...(body === undefined ? {} : { body }),
      });
      const whole = await readBounded(response, answerBytesMax);
      return whole === "too large"
        ? failure("answer_too_large", `the answer is longer than ${answerBytesMax} bytes`)
        : readAnswer(whole, ask);
    } catch (error) {
      return failure("unreachable", `the PDP could not be reached: ${rootCause(error)}`);
    }
  };
  return async (ask, deadline) => {
    const body = ask.body === undefined ? undefined : JSON.stringify(ask.body);
    const passed = deadline.passed.then((fault): Result<never> => ({ ok: false, fault }));
    const tried = async (): Promise<Result<Answer>> => {
      if (deadline.signal.aborted) return passed;
      const result = await Promise.race([attempt(ask, body, deadline), passed]);
      // The abort breaks the connection first, but it was the deadline that passed.
      return deadline.signal.aborted ? passed : result;
    };
    const first = await tried();
    if (first.ok || !canTryAgain(first)) return first;
    const waitMs = first.fault.retryAfterMs ?? retryWaitMs.least + Math.random() * retryWaitMs.spread;
    if (waitMs >= deadline.leftMs()) return first;
    let timer: NodeJS.Timeout | undefined;
    const wait = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([wait, passed]);
    clearTimeout(timer);
    return tried();
  };
};
