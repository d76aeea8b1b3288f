/** The PDP that is judged: where it is, how it is asked, and what it answered. */
import type { Case } from "./case.ts";

export type Target = {
  /** Base URL, without a slash at its end. */
  url: string;
  /** The identifier that its metadata must bear; the base URL where nothing else is said. */
  identity: string;
  /** Bearer token or API key. */
  token?: string;
  /** How requests are sent: over HTTP, or to a service in this process. */
  fetch: (request: Request) => Promise<Response>;
};

export type Answered = {
  status: number;
  text: string;
  /** The body as JSON; undefined where it isn't any. */
  body: unknown;
  headers: Headers;
};

const answerLimitMs = 30_000;

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};

const credentialsOf = ({ token }: Target, which: Case["credentials"]): Record<string, string> => {
  if (which === "wrong") return { authorization: `Bearer ${token ?? ""}-corrupted` };
  return which === "none" || token === undefined ? {} : { authorization: `Bearer ${token}` };
};

export type Asked = Pick<Case, "method" | "path"> & {
  headers?: Record<string, string>;
  credentials?: Case["credentials"];
  body?: string;
};

/** Sends one request. @throws Error when no answer comes, or none within 30 seconds */
export const send = async (
  target: Target,
  { method, path, headers = {}, credentials = "given", body }: Asked,
): Promise<Answered> => {
  const request = new Request(target.url + path, {
    method,
    headers: { "content-type": "application/json", ...credentialsOf(target, credentials), ...headers },
    ...(body === undefined ? {} : { body }),
    redirect: "manual",
    signal: AbortSignal.timeout(answerLimitMs),
  });
  const response = await target.fetch(request);
  const text = await response.text();
  return { status: response.status, text, body: parsed(text), headers: response.headers };
};

const bodyOf = ({ body, raw, repeat }: Case): string | undefined => {
  if (raw === undefined) return body === undefined ? undefined : JSON.stringify(body);
  return repeat ? raw.replace("@", repeat.text.repeat(repeat.times)) : raw;
};

/** Sends the request of a case. */
export const ask = (target: Target, one: Case): Promise<Answered> => {
  const body = bodyOf(one);
  return send(target, {
    method: one.method,
    path: one.path,
    headers: one.send,
    credentials: one.credentials,
    ...(body === undefined ? {} : { body }),
  });
};
