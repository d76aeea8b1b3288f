/**
 * The request that a gateway asks about, as each gateway tells it. Nothing is guessed: a header that another gateway would
 * set is the client's own word here, and a path that two readers could read differently is refused.
 */
import type { IncomingHttpHeaders } from "node:http";

/** What is being asked for: canonical, so that a policy may compare it. */
export type Original = { method: string; host: string; path: string; query: string };

/** A request as the gateway sent it to be judged. */
export type Asked = { method: string; url: string; headers: IncomingHttpHeaders };

/** Why there is no question. */
export type Unreadable = { fault: string };

type Told = { method: string | undefined; host: string | undefined; target: string | undefined };

const one = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name];
  // Node joins a header that comes twice by a comma, and no such header has one.
  return typeof value === "string" && !value.includes(", ") ? value : undefined;
};

/** Where each gateway has the request. The keys are the first part of the path that it asks at. */
const dialects: Record<string, (asked: Asked, rest: string) => Told> = {
  nginx: ({ headers }) => ({
    method: one(headers, "x-original-method"),
    host: one(headers, "x-original-host"),
    target: one(headers, "x-original-uri"),
  }),
  traefik: ({ headers }) => ({
    method: one(headers, "x-forwarded-method"),
    host: one(headers, "x-forwarded-host"),
    target: one(headers, "x-forwarded-uri"),
  }),
  envoy: ({ method, headers }, rest) => ({ method, host: one(headers, "host"), target: rest }),
};

const methodPattern = /^[A-Z]{1,32}$/;
const hostPattern = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;
/** RFC 3986 §3.3, less what servers and gateways read in different ways. */
const pathPattern = /^(?:\/(?:[\w.~!$&'()*+,=:@-]|%[0-9A-F]{2})*)+$/;
const queryPattern = /^[\w.~!$&'()*+,;=:@/?%[\]|-]*$/;

const bytesMax = 8192;

/** An escape that some reader takes for what it stands for, and another doesn't: of a letter, a dot, a slash, a control character. */
const isAmbiguous = (path: string): boolean =>
  [...path.matchAll(/%([0-9A-F]{2})/g)].some(([, hex]) => {
    const byte = Number.parseInt(hex!, 16);
    return byte < 0x20 || byte === 0x7f || /[\w.~/\\%-]/.test(String.fromCharCode(byte));
  });

const pathFault = (path: string): string | undefined => {
  if (!pathPattern.test(path)) return "the path has characters that must be escaped";
  if (isAmbiguous(path)) return "the path has escapes that can be read in two ways";
  const segments = path.slice(1).split("/");
  if (segments.includes("..") || segments.includes(".")) return "the path has dot segments";
  return segments.slice(0, -1).includes("") ? "the path has an empty segment" : undefined;
};

const originalOf = ({ method, host, target }: Told): Original | Unreadable => {
  if (method === undefined || host === undefined || target === undefined)
    return { fault: "the gateway doesn't say what is asked for" };
  if (!methodPattern.test(method)) return { fault: "the method is none" };
  const name = host.toLowerCase();
  if (!hostPattern.test(name)) return { fault: "the host is none" };
  if (target.length > bytesMax) return { fault: "the path is too long" };
  const at = target.indexOf("?");
  const [path, query] = at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
  const fault =
    pathFault(path) ??
    (queryPattern.test(query) ? undefined : "the query has characters that must be escaped");
  return fault === undefined ? { method, host: name, path, query } : { fault };
};

/** What a gateway asks about; nothing for a path that is no gateway's. */
export const readOriginal = (asked: Asked): Original | Unreadable | undefined => {
  const [, dialect = "", rest = ""] = /^\/([a-z]+)(\/.*|\?.*|)$/s.exec(asked.url) ?? [];
  return Object.hasOwn(dialects, dialect) ? originalOf(dialects[dialect]!(asked, rest)) : undefined;
};
