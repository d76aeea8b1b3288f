/**
 * Cedar's values as the compiled engine holds them. A Long is a number where that is exact and else a bigint, so equal
 * ones are always of one kind. Sets and records from JSON are converted when they are first looked into.
 */
import type { JsonObject, JsonValue } from "../kit/json.ts";
import { isObject } from "../kit/json.ts";
import { type Uid, uidKey } from "../kit/cedar-json.ts";
import { type Datetime, type Duration, readDatetime, readDuration } from "./datetime.ts";
import { type Decimal, readDecimal } from "./decimal.ts";
import { Unrepresentable } from "./failure.ts";
import { type IpRange, readIpRange } from "./ip-range.ts";
import type { Long } from "./long.ts";

export type EntityRef = { readonly kind: "entity"; readonly type: string; readonly id: string; key: string };
export type SetValue = { readonly kind: "set"; readonly items: readonly Value[]; keys?: ReadonlySet<string> };
/** Of JSON, or with all its fields; what was converted of JSON is kept. */
export type RecordValue = {
  readonly kind: "record";
  readonly raw: JsonObject | undefined;
  known: Map<string, Value> | undefined;
};
export type Extension = Decimal | IpRange | Datetime | Duration;

export type Value = boolean | Long | string | EntityRef | SetValue | RecordValue | Extension;

/** The functions that make an extension value of a text. */
export const constructors: Readonly<
  Record<"decimal" | "ip" | "datetime" | "duration", (text: string) => Extension | undefined>
> = {
  decimal: readDecimal,
  ip: readIpRange,
  datetime: readDatetime,
  duration: readDuration,
};

const readExtension = (fn: string, arg: string): Extension => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- whether it is one is looked up next
  const value = Object.hasOwn(constructors, fn) && constructors[fn as keyof typeof constructors](arg);
  if (!value) throw new Unrepresentable("not a value of an extension");
  return value;
};

export const entityRef = ({ type, id }: Uid): EntityRef => ({
  kind: "entity",
  type,
  id,
  key: uidKey({ type, id }),
});

export const setOf = (items: readonly Value[]): SetValue => ({ kind: "set", items });

/** A record whose fields are all known. */
export const recordOf = (fields: Map<string, Value>): RecordValue => ({
  kind: "record",
  raw: undefined,
  known: fields,
});

/** A record from JSON. */
export const lazyRecord = (raw: JsonObject): RecordValue => ({ kind: "record", raw, known: undefined });

export const noRecord: RecordValue = lazyRecord({});

const escapes = ["__entity", "__extn", "__expr"] as const;

const fromObject = (json: JsonObject): Value => {
  const name = escapes.find((escape) => Object.hasOwn(json, escape));
  if (name === undefined) return lazyRecord(json);
  const inner = json[name];
  if (Object.keys(json).length !== 1 || !isObject(inner)) throw new Unrepresentable("an unusual escape");
  if (name === "__entity") {
    const { type, id } = inner;
    if (typeof type !== "string" || typeof id !== "string") throw new Unrepresentable("no entity");
    return entityRef({ type, id });
  }
  const { fn, arg } = inner;
  if (name !== "__extn" || typeof fn !== "string" || typeof arg !== "string")
    throw new Unrepresentable("an unusual escape");
  return readExtension(fn, arg);
};

/** A value from Cedar's JSON form. @throws Unrepresentable for what is none, or can't be told exactly */
export const fromJson = (json: JsonValue): Value => {
  if (typeof json === "boolean" || typeof json === "string") return json;
  if (typeof json === "number") {
    if (!Number.isSafeInteger(json)) throw new Unrepresentable("an integer beyond 53 bits");
    return json;
  }
  if (Array.isArray(json)) return setOf(json.map(fromJson));
  if (isObject(json)) return fromObject(json);
  throw new Unrepresentable("no value");
};

/** A field of a record, or nothing. */
export const fieldOf = (record: RecordValue, name: string): Value | undefined => {
  const { raw } = record;
  if (raw === undefined) return record.known?.get(name);
  if (!Object.hasOwn(raw, name)) return undefined;
  const json = raw[name]!;
  if (typeof json !== "object") return fromJson(json);
  const before = record.known?.get(name);
  if (before !== undefined) return before;
  const value = fromJson(json);
  record.known ??= new Map();
  record.known.set(name, value);
  return value;
};

/** All fields of a record, sorted by name. */
const fieldsOf = (record: RecordValue): [string, Value][] => {
  const names = record.raw === undefined ? [...(record.known?.keys() ?? [])] : Object.keys(record.raw);
  return names.sort().map((name) => [name, fieldOf(record, name)!]);
};

const sized = (text: string): string => `${text.length}:${text}`;

/** A text that two values share exactly if Cedar holds them for equal. */
export const keyOf = (value: Value): string => {
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "boolean") return `b${value}`;
  if (typeof value !== "object") return `l${value}`;
  switch (value.kind) {
    case "entity":
      return `e${value.key}`;
    case "set":
      return `S${[...keysOf(value)].sort().map(sized).join("")}`;
    case "record":
      return `R${fieldsOf(value)
        .map(([name, field]) => sized(name) + sized(keyOf(field)))
        .join("")}`;
    case "decimal":
      return `d${value.units}`;
    case "ip":
      return `i${value.bits}/${value.address}/${value.prefix}`;
    case "datetime":
      return `t${value.ms}`;
    case "duration":
      return `p${value.ms}`;
  }
};

/** The keys of a set's members. */
export const keysOf = (set: SetValue): ReadonlySet<string> => {
  set.keys ??= new Set(set.items.map((item) => keyOf(item)));
  return set.keys;
};

const isScalar = (value: Value): boolean => typeof value !== "object";

/** Cedar's `==`: values of different types are unequal, never an error. */
export const equal = (left: Value, right: Value): boolean => {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object" || left.kind !== right.kind) return false;
  if (left.kind === "entity" && right.kind === "entity") return left.key === right.key;
  return keyOf(left) === keyOf(right);
};

/** Whether a set has a member. */
export const contains = (set: SetValue, value: Value): boolean => {
  // Looking through a few plain values is faster than naming them all.
  if (set.keys === undefined && set.items.length < 8 && isScalar(value)) return set.items.includes(value);
  return keysOf(set).has(keyOf(value));
};
