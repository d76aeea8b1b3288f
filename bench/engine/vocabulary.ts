/** What random policies and entities are made of: values at the edges, and a few names so that they meet. */
import type { Uid } from "../../src/kit/cedar-json.ts";
import type { Random } from "./random.ts";

/** What kinds of values there are. */
export type Kind =
  | "bool"
  | "long"
  | "string"
  | "entity"
  | "decimal"
  | "ip"
  | "datetime"
  | "duration"
  | "longs"
  | "strings"
  | "entities"
  | "record";

/** Attributes, and context keys, by name: what a well-typed policy may expect. */
export const attributes: Readonly<Record<string, Kind>> = {
  b: "bool",
  n: "long",
  m: "long",
  s: "string",
  friend: "entity",
  dec: "decimal",
  addr: "ip",
  at: "datetime",
  span: "duration",
  ls: "longs",
  ss: "strings",
  es: "entities",
  rec: "record",
};

export const kinds: readonly Kind[] = [...new Set(Object.values(attributes))];
export const names: readonly string[] = Object.keys(attributes);
export const namesOf = (kind: Kind): string[] => names.filter((name) => attributes[name] === kind);

export const ids = ["a", "b", "c"] as const;
export const types = ["U", "R", "G"] as const;

export const texts = [
  "",
  "a",
  "ab",
  "aba",
  "b",
  "é",
  "e\u0301",
  "😀",
  "a😀",
  "\uffff",
  "*",
  "a*b",
  "__proto__",
] as const;
export const patterns = [
  "*",
  "a*",
  "*a",
  "a*a",
  "*b*",
  "\\*",
  "a\\*b",
  "*😀",
  "😀*",
  "é",
  "",
  "a*b*a",
  "**",
  "*\uffff",
] as const;
export const longs = [0, 1, -1, 2, 3, 10, 100, -100, 9_007_199_254_740_991, -9_007_199_254_740_991] as const;
/** The ends of 64 bits, and what is near them: literals beyond 53 bits would be the reference engine's. */
export const edges = [
  "(9007199254740991 * 1024 + 1023)",
  "(-9007199254740991 * 1024 - 1024)",
  "(9007199254740991 + 1)",
  "(9007199254740991 + 2)",
  "(3037000500 * 3037000500)",
] as const;
const decimals = [
  "0.0",
  "1.0",
  "1.00",
  "-1.5",
  "0.0001",
  "-0.0001",
  "922337203685477.5807",
  "-922337203685477.5808",
] as const;
const addresses = [
  "127.0.0.1",
  "127.0.0.1/32",
  "127.0.0.0/7",
  "127.0.0.0/8",
  "10.0.0.1",
  "10.0.0.0/8",
  "10.0.0.1/8",
  "224.0.0.1",
  "224.0.0.0/4",
  "239.255.255.255",
  "0.0.0.0/0",
  "255.255.255.255",
  "::1",
  "::1/127",
  "ff00::/8",
  "ff02::1",
  "ff00::/7",
  "2001:db8::/32",
  "2001:db8:0:0::1",
  "::",
  "::/0",
] as const;
const moments = [
  "1970-01-01",
  "1970-01-01T00:00:00Z",
  "1969-12-31T23:59:59.999Z",
  "1969-12-31",
  "2024-02-29",
  "2024-02-29T12:34:56.789+0530",
  "0000-01-01",
  "9999-12-31T23:59:59.999-2359",
  "1600-02-29T00:00:00.001Z",
] as const;
const spans = [
  "0ms",
  "1ms",
  "-1ms",
  "1d",
  "-1d",
  "24h",
  "1d2h3m4s5ms",
  "-1d2h",
  "36h",
  "90m",
  "9223372036854775807ms",
] as const;
export const constructorOf = {
  decimal: "decimal",
  ip: "ip",
  datetime: "datetime",
  duration: "duration",
} as const;
export const valid: Readonly<Record<"decimal" | "ip" | "datetime" | "duration", readonly string[]>> = {
  decimal: decimals,
  ip: addresses,
  datetime: moments,
  duration: spans,
};

/** Texts that are none. */
export const malformed: typeof valid = {
  decimal: ["1", "1.", ".5", "1.23456", "922337203685477.5808", "1e3", " 1.0"],
  ip: [
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4/33",
    "1.2.3.4/08",
    "::ffff:1.2.3.4",
    "1::2::3",
    "fe80::1%1",
  ],
  datetime: [
    "2023-02-29",
    "2024-1-1",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:00:60Z",
    "2024-01-01T00:00:00",
    "10000-01-01",
  ],
  duration: ["", "1", "1h1d", "-", "1d-1h", "9223372036854775808ms", "+1d"],
};

export const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, (char) => `\\${char}`)}"`;

export const uidText = ({ type, id }: Uid): string => `${type}::"${id}"`;

export const someUid = (random: Random): Uid => ({ type: random.pick(types), id: random.pick(ids) });
