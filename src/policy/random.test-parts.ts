/** Random policies, entities and questions from a seed: the same seed, the same case, on every machine. */
import type { CedarAsk, CedarEntity, Uid } from "../kit/cedar-json.ts";
import type { JsonObject, JsonValue } from "../kit/json.ts";

/** A source of chance (mulberry32). */
export type Random = {
  below: (limit: number) => number;
  chance: (probability: number) => boolean;
  pick: <T>(items: readonly T[]) => T;
};

export const randomFrom = (seed: number): Random => {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)]!,
  };
};

type Kind =
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
const attributes: Readonly<Record<string, Kind>> = {
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

const kinds: readonly Kind[] = [...new Set(Object.values(attributes))];
const names = Object.keys(attributes);
const namesOf = (kind: Kind): string[] => names.filter((name) => attributes[name] === kind);

const ids = ["a", "b", "c"] as const;
const types = ["U", "R", "G"] as const;

const texts = [
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
const patterns = [
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
const longs = [0, 1, -1, 2, 3, 10, 100, -100, 9_007_199_254_740_991, -9_007_199_254_740_991] as const;
/** The ends of 64 bits, and what is near them: literals beyond 53 bits would be the reference engine's. */
const edges = [
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
const malformed = {
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
} as const;
const constructorOf = { decimal: "decimal", ip: "ip", datetime: "datetime", duration: "duration" } as const;
const valid = { decimal: decimals, ip: addresses, datetime: moments, duration: spans } as const;

const quoted = (text: string): string =>
  `"${[...text].map((char) => (char === '"' || char === "\\" ? `\\${char}` : char)).join("")}"`;

const uidText = ({ type, id }: Uid): string => `${type}::"${id}"`;

const someUid = (random: Random): Uid => ({ type: random.pick(types), id: random.pick(ids) });

/** Writes expressions. `wild`: how often a part has another type than its place asks for. */
type Writer = { random: Random; wild: number };

/** Something of a kind that a question gives: an attribute, mostly asked for first, as careful authors do. */
const given = (writer: Writer, kind: Kind, depth: number): string => {
  const { random } = writer;
  const of = random.chance(0.3) ? "context" : entity(writer, Math.min(depth, 1));
  return `${of}.${random.pick(namesOf(kind))}`;
};

const entity = (writer: Writer, depth: number): string => {
  const { random } = writer;
  const roll = random.below(10);
  if (roll < 4) return "principal";
  if (roll < 7) return "resource";
  if (roll < 8 && depth > 0) return `${entity(writer, depth - 1)}.friend`;
  if (roll < 8) return random.chance(0.5) ? "action" : 'Action::"all"';
  if (roll < 9 && depth > 1) return `(if ${bool(writer, depth - 2)} then principal else resource)`;
  return uidText(someUid(random));
};

const long = (writer: Writer, depth: number): string => {
  const { random } = writer;
  const sub = (): string => expression(writer, "long", depth - 1);
  if (depth <= 0) return random.chance(0.15) ? random.pick(edges) : `(${random.pick(longs)})`;
  // Neither a literal beyond 53 bits nor a wrong number of arguments is the compiled engine's.
  if (random.chance(0.004)) return "9223372036854775807";
  if (random.chance(0.002)) return 'duration("1d").toDays(1)';
  switch (random.below(9)) {
    case 0:
      return `(${sub()} + ${sub()})`;
    case 1:
      return `(${sub()} - ${sub()})`;
    case 2:
      return `(${sub()} * (${random.pick([0, 1, 2, -1, 3])}))`;
    case 3:
      return `(-${sub()})`;
    case 4:
      return `${expression(writer, "duration", depth - 1)}.${random.pick(["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"])}()`;
    case 5:
      return `${entity(writer, 0)}.getTag("n")`;
    case 6:
      return given(writer, "long", depth - 1);
    default:
      return `(${random.pick(longs)})`;
  }
};

const extension = (
  writer: Writer,
  kind: "decimal" | "ip" | "datetime" | "duration",
  depth: number,
): string => {
  const { random } = writer;
  if (depth > 0 && random.chance(0.35)) return given(writer, kind, depth - 1);
  if (depth > 0 && kind === "datetime" && random.chance(0.4))
    return random.chance(0.5)
      ? `${extension(writer, kind, depth - 1)}.toDate()`
      : `${extension(writer, kind, depth - 1)}.offset(${expression(writer, "duration", depth - 1)})`;
  if (depth > 0 && kind === "duration" && random.chance(0.4)) {
    const moment = expression(writer, "datetime", depth - 1);
    return random.chance(0.5)
      ? `${moment}.toTime()`
      : `${moment}.durationSince(${expression(writer, "datetime", depth - 1)})`;
  }
  const text = random.chance(0.02) ? random.pick(malformed[kind]) : random.pick(valid[kind]);
  return `${constructorOf[kind]}("${text}")`;
};

const several = (random: Random, write: () => string): string =>
  `[${Array.from({ length: random.below(4) }, write).join(", ")}]`;

const written = (writer: Writer, kind: Kind, depth: number): string => {
  const { random } = writer;
  const sub = (part: Kind): string => expression(writer, part, depth - 1);
  switch (kind) {
    case "bool":
      return bool(writer, depth);
    case "long":
      return long(writer, depth);
    case "entity":
      return entity(writer, depth);
    case "string":
      return depth > 0 && random.chance(0.5) ? given(writer, kind, depth - 1) : quoted(random.pick(texts));
    case "decimal":
    case "ip":
    case "datetime":
    case "duration":
      return extension(writer, kind, depth);
    case "longs":
      return depth > 0 && random.chance(0.5)
        ? given(writer, kind, depth - 1)
        : several(random, () => sub("long"));
    case "strings":
      return depth > 0 && random.chance(0.5)
        ? given(writer, kind, depth - 1)
        : several(random, () => sub("string"));
    case "entities":
      return depth > 0 && random.chance(0.4)
        ? given(writer, kind, depth - 1)
        : several(random, () => sub("entity"));
    case "record":
      return depth > 0 && random.chance(0.5)
        ? given(writer, kind, depth - 1)
        : `{x: ${sub("long")}, y: {z: ${sub("string")}}, "a b": ${sub(random.pick(kinds))}}`;
  }
};

/** An expression of a kind, or sometimes of any. */
const expression = (writer: Writer, kind: Kind, depth: number): string => {
  const { random, wild } = writer;
  return written(writer, wild > 0 && random.chance(wild) ? random.pick(kinds) : kind, depth);
};

const ordered = ["long", "long", "datetime", "duration"] as const;

/** Asks whether a field is there before it is used. */
const guarded = (writer: Writer, depth: number): string => {
  const { random } = writer;
  const of = random.pick(["principal", "resource", "context", "principal", uidText(someUid(random))]);
  const name = random.pick(names);
  const kind = attributes[name]!;
  const field = `${of}.${name}`;
  const test = (): string => {
    switch (kind) {
      case "bool":
        return field;
      case "long":
        return `${field} ${random.pick(["<", "<=", ">", ">=", "==", "!="])} ${expression(writer, "long", depth - 1)}`;
      case "string":
        return `${field} like ${quotedPattern(random)}`;
      case "entity":
        return `${field} in ${expression(writer, random.pick(["entity", "entities"]), depth - 1)}`;
      case "decimal":
        return `${field}.${random.pick(decimalMethods)}(${expression(writer, kind, depth - 1)})`;
      case "ip":
        return `${field}.isInRange(${expression(writer, kind, depth - 1)})`;
      case "datetime":
      case "duration":
        return `${field} ${random.pick(["<", "<=", ">", ">=", "==", "!="])} ${expression(writer, kind, depth - 1)}`;
      case "longs":
        return `${field}.contains(${expression(writer, "long", depth - 1)})`;
      case "strings":
        return `${field}.${random.pick(["containsAll", "containsAny"])}(${expression(writer, kind, depth - 1)})`;
      case "entities":
        return `${random.pick(["principal", "resource"])} in ${field}`;
      case "record":
        return random.pick([
          `${field} has y.z`,
          `${field} has "a b"`,
          `${field} == ${expression(writer, kind, depth - 1)}`,
        ]);
    }
  };
  return `(${of} has ${name} && ${test()})`;
};

const decimalMethods = ["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"] as const;
const quotedPattern = (random: Random): string => `"${random.pick(patterns)}"`;

const paths = ["rec.y.z", "rec.x", "friend.friend.n", "friend.rec.y", "n", "es", '"a b"', "s"] as const;

const simple = (writer: Writer, depth: number): string => {
  const { random } = writer;
  const sub = (kind: Kind): string => expression(writer, kind, depth - 1);
  switch (random.below(13)) {
    case 0: {
      const kind = random.pick(kinds);
      return `(${sub(kind)} ${random.pick(["==", "!="])} ${sub(kind)})`;
    }
    case 1: {
      const kind = random.pick(ordered);
      return `(${sub(kind)} ${random.pick(["<", "<=", ">", ">="])} ${sub(kind)})`;
    }
    case 2:
      return `(${sub("entity")} has ${random.pick(paths)})`;
    case 3:
      return `(${sub("string")} like ${quotedPattern(random)})`;
    case 4:
      return `(${sub("entity")} in ${sub(random.pick(["entity", "entities"]))})`;
    case 5: {
      const group = random.chance(0.4) ? ` in ${sub(random.pick(["entity", "entities"]))}` : "";
      return `(${sub("entity")} is ${random.pick(types)}${group})`;
    }
    case 6:
      return `${sub("longs")}.contains(${sub("long")})`;
    case 7: {
      const kind = random.pick(["longs", "strings", "entities"] as const);
      return `${sub(kind)}.${random.pick(["containsAll", "containsAny"])}(${sub(kind)})`;
    }
    case 8:
      return `${sub(random.pick(["longs", "strings", "entities"]))}.isEmpty()`;
    case 9:
      return `${sub("entity")}.hasTag(${random.pick(['"n"', '"s"', '"none"', sub("string")])})`;
    case 10:
      return `${sub("decimal")}.${random.pick(decimalMethods)}(${sub("decimal")})`;
    case 11:
      return `${sub("ip")}.${random.pick(["isIpv4", "isIpv6", "isLoopback", "isMulticast"])}()`;
    default:
      return `${sub("ip")}.isInRange(${sub("ip")})`;
  }
};

const bool = (writer: Writer, depth: number): string => {
  const { random } = writer;
  const sub = (): string => expression(writer, "bool", depth - 1);
  if (depth <= 0) return random.pick(["true", "false", "(principal == resource)", "(principal is U)"]);
  switch (random.below(10)) {
    case 0:
      return `(${sub()} && ${sub()})`;
    case 1:
      return `(${sub()} || ${sub()})`;
    case 2:
      return `(!${sub()})`;
    case 3:
      return `(if ${sub()} then ${sub()} else ${sub()})`;
    case 4:
      return simple(writer, depth);
    case 5:
      return `(${sub()} && ${sub()} && ${sub()})`;
    case 6:
      return `(${sub()} || ${sub()} || ${sub()})`;
    default:
      return random.chance(0.75) ? guarded(writer, depth) : simple(writer, depth);
  }
};

const head = (random: Random, variable: string): string => {
  switch (random.below(16)) {
    case 0:
      return `${variable} == ${uidText(someUid(random))}`;
    case 1:
      return `${variable} in ${uidText(someUid(random))}`;
    case 2:
      return `${variable} is ${random.pick(types)}`;
    case 3:
      return `${variable} is ${random.pick(types)} in ${uidText(someUid(random))}`;
    default:
      return variable;
  }
};

const actionHeads = [
  "action",
  "action",
  "action",
  "action",
  'action == Action::"read"',
  'action in Action::"all"',
  'action in [Action::"write", Action::"read"]',
  'action == Action::"write"',
] as const;

/** One policy's text. */
const policyText = (random: Random): string => {
  const writer: Writer = { random, wild: random.chance(0.25) ? 0.12 : 0 };
  const effect = random.chance(0.75) ? "permit" : "forbid";
  const clauses = Array.from({ length: random.pick([0, 1, 1, 1, 2]) }, () => {
    const body = (): string => bool(writer, 1 + random.below(3));
    // Unaided, most permits wouldn't permit.
    const text = effect === "permit" && random.chance(0.5) ? `${body()} || ${body()}` : body();
    return `${random.chance(0.8) ? "when" : "unless"} { ${text} }`;
  });
  const heads = `${head(random, "principal")}, ${random.pick(actionHeads)}, ${head(random, "resource")}`;
  return `${effect} (${heads}) ${clauses.join(" ")};`;
};

const extensionJson = (kind: keyof typeof valid, random: Random): JsonValue => ({
  __extn: { fn: constructorOf[kind], arg: random.pick<string>(valid[kind]) },
});

const entityJson = (random: Random): JsonValue => ({ __entity: someUid(random) });

const valueJson = (random: Random, kind: Kind): JsonValue => {
  const many = (write: () => JsonValue): JsonValue => Array.from({ length: random.below(4) }, write);
  switch (kind) {
    case "bool":
      return random.chance(0.5);
    case "long":
      return random.chance(0.3) ? random.pick(longs) : random.below(20) - 10;
    case "string":
      return random.pick(texts);
    case "entity":
      return entityJson(random);
    case "longs":
      return many(() => valueJson(random, "long"));
    case "strings":
      return many(() => valueJson(random, "string"));
    case "entities":
      return many(() => entityJson(random));
    case "record":
      return { x: valueJson(random, "long"), y: { z: random.pick(texts) }, "a b": valueJson(random, "bool") };
    default:
      return extensionJson(kind, random);
  }
};

const recordJson = (random: Random): JsonObject => {
  const record: JsonObject = {};
  for (const name of names) {
    if (!random.chance(0.55)) continue;
    const kind = random.chance(0.02) ? random.pick(kinds) : attributes[name]!;
    record[name] = valueJson(random, kind);
  }
  return record;
};

const worldOf = (random: Random): CedarEntity[] => {
  const all: Uid[] = types.flatMap((type) => ids.map((id) => ({ type, id })));
  // Parents stand later in the list, so that nothing is its own ancestor.
  return all.flatMap((uid, position) => {
    if (random.chance(0.15)) return [];
    const parents = all.slice(position + 1).filter(() => random.chance(0.2));
    const tags: JsonObject = {};
    if (random.chance(0.7)) tags["n"] = valueJson(random, "long");
    if (random.chance(0.5)) tags["s"] = valueJson(random, "string");
    return [{ uid, attrs: recordJson(random), parents, tags }];
  });
};

/** Sets of policies over one world, and questions about it: every question is put to every set. */
export type Batch = { sets: string[][]; asks: CedarAsk[] };

const setsPerBatch = 12;
const asksPerBatch = 24;

/** The batch of a seed. */
export const batchOf = (seed: number): Batch => {
  const random = randomFrom(seed);
  const sets = Array.from({ length: setsPerBatch }, () =>
    Array.from({ length: 1 + random.below(4) }, () => policyText(random)),
  );
  const entities = worldOf(random);
  const asks = Array.from({ length: asksPerBatch }, (): CedarAsk => ({
    principals: [someUid(random)],
    action: { type: "Action", id: random.pick(["read", "read", "write"]) },
    resource: someUid(random),
    context: recordJson(random),
    entities,
  }));
  return { sets, asks };
};
