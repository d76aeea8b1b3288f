/** What becomes of a request that somebody bends: its JSON, its text, its headers, its path. */
import type { JsonObject, JsonValue } from "../../src/kit/json.ts";
import { isObject } from "../../src/kit/json.ts";
import type { Random } from "../engine/random.ts";

/** A request as it is sent; `body` is bytes, which need be no JSON. */
export type Shot = {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: Buffer;
};

const deep = (levels: number): JsonValue => {
  let value: JsonValue = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Values that have hurt somebody before. */
const nasty: readonly (() => JsonValue)[] = [
  () => null,
  () => true,
  () => false,
  () => 0,
  () => -1,
  () => 1.5,
  () => 2 ** 53,
  () => -(2 ** 63),
  () => 1e308,
  () => "",
  () => " ",
  () => "\u0000",
  () => "\ud800",
  () => "\u202e\u001b[2J\r\nX-Injected: 1",
  () => "__proto__",
  () => "constructor",
  () => "a".repeat(20_000),
  () => "😀".repeat(300),
  () => "' or '1'='1",
  () => "../../../../etc/passwd",
  () => "%00%0d%0a",
  () => "${7*7}{{7*7}}",
  () => "*".repeat(500),
  () => "9223372036854775808",
  () => "2026-02-30T25:61:61Z",
  () => [],
  () => ({}),
  () => [[]],
  () => deep(40),
  () => deep(3000),
  () => Array.from({ length: 3000 }, (_, at) => at),
  () => Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`k${at}`, at])),
  () => ({ __entity: { type: "User", id: "alice" } }),
  () => ({ __extn: { fn: "decimal", arg: "1e999" } }),
  () => ({ __extn: { fn: "ip", arg: "999.0.0.1/99" } }),
  () => ({ type: "Agent", id: "nobody" }),
];

const names = [
  "__proto__",
  "constructor",
  "toString",
  "decision",
  "role",
  "admin",
  "dry_run",
  "Subject",
  "subject ",
  "evaluations",
  "options",
  "",
  "\u0000",
];

const depthMax = 8;

/** Places in a value, as the members that lead there. */
const placesIn = (value: JsonValue, path: (string | number)[] = []): (string | number)[][] => {
  if (path.length >= depthMax) return [path];
  const inner = Array.isArray(value)
    ? value.flatMap((item, at) => placesIn(item, [...path, at]))
    : isObject(value)
      ? Object.entries(value).flatMap(([name, item]) => placesIn(item, [...path, name]))
      : [];
  return [path, ...inner];
};

const changedAt = (
  value: JsonValue,
  path: readonly (string | number)[],
  change: (value: JsonValue) => JsonValue,
): JsonValue => {
  const [next, ...rest] = path;
  if (next === undefined) return change(value);
  if (Array.isArray(value))
    return value.map((item, at) => (at === next ? changedAt(item, rest, change) : item));
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([name, item]) => [
      name,
      name === next ? changedAt(item, rest, change) : item,
    ]),
  );
};

/** An object with a member of any name: `__proto__` as well, as text brings it. */
const withMember = (value: JsonObject, name: string, member: JsonValue): JsonObject => {
  const made: JsonObject = { ...value };
  Object.defineProperty(made, name, { value: member, enumerable: true, configurable: true, writable: true });
  return made;
};

const bent = (value: JsonValue, { pick, below, chance }: Random): JsonValue => {
  const path = pick(placesIn(value));
  return changedAt(value, path, (at) => {
    if (Array.isArray(at) && chance(0.4)) return [...at, ...at, pick(nasty)()];
    if (!isObject(at) || chance(0.3)) return pick(nasty)();
    const members = Object.entries(at);
    if (members.length > 0 && chance(0.5))
      return Object.fromEntries(members.toSpliced(below(members.length), 1));
    return withMember(at, pick(names), pick(nasty)());
  });
};

/** JSON text with a member said twice. */
const doubled = (text: string, { pick }: Random): string =>
  text.startsWith("{")
    ? `{${JSON.stringify(pick(names))}:1,${JSON.stringify(pick(names))}:2,${text.slice(1)}`
    : text;

const garbled = (text: string, random: Random): Buffer => {
  const { below, pick } = random;
  const bytes = Buffer.from(text, "utf8");
  const at = below(bytes.length + 1);
  const changes: (() => Buffer)[] = [
    () => bytes.subarray(0, at),
    () =>
      Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from([pick([0xff, 0xc0, 0xed, 0x00, 0x80])]),
        bytes.subarray(at),
      ]),
    () => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]),
    () => Buffer.concat([bytes, Buffer.from(pick([" {}", "]", ",", "\u0000", "//", bytes.toString()]))]),
    () => Buffer.from(text.replaceAll('"', "'")),
    () => Buffer.from(text.replace(/\d+/, pick(["NaN", "01", "1e99999", "-", "0x10", "1."]))),
    () => Buffer.from(doubled(text, random)),
    () => Buffer.from(`${" ".repeat(5000)}${text}`),
    () => Buffer.alloc(0),
    () => Buffer.from(pick(["null", "[]", "0", '""', "{", "\u0000"])),
    () => Buffer.from("[".repeat(20_000)),
    () => Buffer.from(text, "utf16le"),
  ];
  return pick(changes)();
};

/** A body with one or more things wrong with it, or unusual about it. */
export const bentBody = (body: JsonValue, random: Random): Buffer => {
  if (typeof body === "string") return garbled(body, random);
  let value: JsonValue = body;
  for (let times = random.pick([0, 1, 1, 1, 2, 3]); times > 0; times--) value = bent(value, random);
  const text = JSON.stringify(value);
  return random.chance(0.25) ? garbled(text, random) : Buffer.from(text, "utf8");
};

/** Values for headers that Node's client sends: no line breaks, Latin-1 at most. */
const headerValues = [
  "",
  " ",
  "x".repeat(300),
  "x".repeat(4000),
  "é",
  '"',
  "\u0009tab",
  "null",
  "*",
  'W/"x"',
  "-1",
  "99999999999999999999",
  "00-00000000000000000000000000000000-0000000000000000-00",
  "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  "${jndi:ldap://x}",
];

const headerNames = [
  "x-request-id",
  "idempotency-key",
  "traceparent",
  "tracestate",
  "if-match",
  "if-none-match",
  "last-event-id",
  "accept",
  "accept-encoding",
  "content-encoding",
  "content-language",
  "host",
  "origin",
  "referer",
  "cookie",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-original-url",
  "x-http-method-override",
  "forwarded",
  "range",
  "expect",
  "te",
  "dpop",
  "workload-identity-token",
  "transaction-token",
];

const contentTypes = [
  "application/json; charset=utf-16",
  "application/JSON",
  "text/plain",
  "application/xml",
  "multipart/form-data; boundary=x",
  "application/x-www-form-urlencoded",
  "application/json, text/plain",
  "",
  "application/problem+json",
  "application/x-ndjson",
];

export const bentHeaders = (
  headers: Record<string, string>,
  { pick, chance }: Random,
): Record<string, string> => {
  const made = { ...headers };
  if (chance(0.2) && made["content-type"] !== undefined) made["content-type"] = pick(contentTypes);
  for (let times = pick([0, 0, 1, 2]); times > 0; times--) {
    const name = pick(headerNames);
    // Node's client waits for leave to go on, which is another matter.
    if (name !== "expect") made[name] = pick(headerValues);
  }
  return made;
};

const queries = [
  "limit",
  "cursor",
  "order",
  "from",
  "to",
  "agent",
  "kind",
  "group_by",
  "format",
  "index",
  "__proto__",
];

export const bentPath = (path: string, { pick, chance, below }: Random): string => {
  const at = below(path.length);
  const changes: (() => string)[] = [
    () => `${path}/`,
    () => `/${path}`,
    () => path.toUpperCase(),
    () => path.replaceAll("/", "//"),
    () => `${path}/..`,
    () =>
      path.replace(
        /[^/]+$/,
        // Other names than questions are bent to: an administrator may well make an entity of this one.
        pick(["%00x", "%2e%2e", "%ff", "%", "%E0%A4%A", "..;", "a".repeat(3000), "prototype"]),
      ),
    () =>
      `${path}${path.includes("?") ? "&" : "?"}${pick(queries)}=${pick(["-1", "", "1e9", "%00", "null", "a,b,c,d,e,f", "9".repeat(30), "2026-01-01"])}`,
    () => `${path.slice(0, at)}%${path.slice(at)}`,
    () => `${path}?${"a=1&".repeat(500)}`,
    () => `${path}#x`,
    () => `${path};jsessionid=1`,
  ];
  return chance(0.5) ? pick(changes)() : path;
};

export const methods: readonly string[] = [
  "GET",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "HEAD",
  "TRACE",
  "PROPFIND",
];
