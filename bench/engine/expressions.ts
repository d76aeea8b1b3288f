/** Random policies, as text: well-typed for the most part, and now and then not. */
import type { Random } from "./random.ts";
import {
  attributes,
  constructorOf,
  edges,
  type Kind,
  kinds,
  longs,
  malformed,
  names,
  namesOf,
  patterns,
  quoted,
  someUid,
  texts,
  types,
  uidText,
  valid,
} from "./vocabulary.ts";

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
export const policyText = (random: Random): string => {
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
