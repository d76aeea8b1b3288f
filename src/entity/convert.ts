/**
 * JSON values to Cedar values by declared type (DESIGN §4). What doesn't fit its type is a mismatch, which denies:
 * Cedar's `==` across types is false, not an error, and would silence a forbid.
 */
import { isIPv4, isIPv6 } from "node:net";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { type Attributes, entityTypeNamed, type SchemaModel, type ValueType } from "./schema.ts";

/** A value that doesn't fit: where (dotted path) and what was expected. */
export type Mismatch = { path: string; expected: string };

/** Cedar's JSON value, or nothing for what is absent (`null`), or a mismatch. */
type Converted = { value: JsonValue } | { absent: true } | { mismatch: Mismatch };

const absent = { absent: true } as const;
const extensionFunctions = {
  decimal: "decimal",
  ipaddr: "ip",
  datetime: "datetime",
  duration: "duration",
} as const;

const mismatch = (path: string, expected: string): Converted => ({ mismatch: { path, expected } });

const i64Max = 9_223_372_036_854_775_807n;

/** A decimal has one to four digits after the point and fits 64 bits in ten-thousandths. */
const decimalText = (text: string): string | undefined => {
  const match = /^(-?)(\d{1,19})\.(\d{1,4})$/.exec(text);
  if (!match) return undefined;
  const units = BigInt(match[2]! + match[3]!.padEnd(4, "0"));
  return units <= i64Max + (match[1] === "-" ? 1n : 0n) ? text : undefined;
};

const decimalOf = (value: JsonValue): string | undefined => {
  if (typeof value === "string") return decimalText(value);
  if (typeof value !== "number") return undefined;
  // Exponents appear beyond 1e21 and below 1e-6; neither is a decimal.
  const text = String(value);
  return decimalText(Number.isInteger(value) ? `${text}.0` : text);
};

const ipOf = (text: string): string | undefined => {
  const [address, prefix, ...rest] = text.split("/");
  if (address === undefined || rest.length > 0 || address.includes("%")) return undefined;
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : undefined;
  // Cedar takes no IPv4 address inside an IPv6 one.
  if (bits === undefined || (bits === 128 && address.includes("."))) return undefined;
  if (prefix === undefined) return text;
  return /^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= bits ? text : undefined;
};

const dateTime = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d))?$/;

/** RFC 3339 to what Cedar reads: exactly three digits of a second, offsets without a colon. */
const datetimeOf = (text: string): string | undefined => {
  const match = dateTime.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction, offset] = match;
  const date = `${year}-${month}-${day}`;
  const midnight = new Date(`${date}T00:00:00Z`);
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== date) return undefined;
  if (offset === undefined) return text;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const zone = offset.replace(":", "");
  if (zone !== "Z" && (Number(zone.slice(1, 3)) > 23 || Number(zone.slice(3)) > 59)) return undefined;
  const millis = (fraction ?? "").padEnd(3, "0");
  if (/[1-9]/.test(millis.slice(3))) return undefined;
  return `${date}T${hour}:${minute}:${second}${fraction === undefined ? "" : `.${millis.slice(0, 3)}`}${zone}`;
};

const durationUnits = [86_400_000n, 3_600_000n, 60_000n, 1000n, 1n];

const durationOf = (text: string): string | undefined => {
  const match =
    /^(-?)(?:(\d{1,19})d)?(?:(\d{1,19})h)?(?:(\d{1,19})m)?(?:(\d{1,19})s)?(?:(\d{1,19})ms)?$/.exec(text);
  if (!match || !/\d/.test(text)) return undefined;
  let millis = 0n;
  for (const [position, unit] of durationUnits.entries()) millis += BigInt(match[position + 2] ?? 0) * unit;
  return millis <= i64Max + (match[1] === "-" ? 1n : 0n) ? text : undefined;
};

const textual = { ipaddr: ipOf, datetime: datetimeOf, duration: durationOf } as const;

type Extension = Extract<ValueType, { kind: "extension" }>["name"];

const extensionOf = (value: JsonValue, name: Extension, path: string): Converted => {
  const fn = extensionFunctions[name];
  // Cedar's own form is taken only here, where the schema declares an extension of that kind.
  const escaped = isObject(value) && isObject(value["__extn"]) ? value["__extn"] : undefined;
  const given = escaped?.["fn"] === fn ? (escaped["arg"] ?? null) : value;
  const arg =
    name === "decimal" ? decimalOf(given) : typeof given === "string" ? textual[name](given) : undefined;
  return arg === undefined ? mismatch(path, name) : { value: { __extn: { fn, arg } } };
};

const entityOf = (schema: SchemaModel, value: JsonValue, declared: string, path: string): Converted => {
  const reference = isObject(value) && isObject(value["__entity"]) ? value["__entity"] : value;
  if (!isObject(reference)) return mismatch(path, `a reference {type, id} to \`${declared}\``);
  const { type, id } = reference;
  const named = typeof type === "string" ? entityTypeNamed(schema, type) : undefined;
  if (named?.name !== declared || typeof id !== "string")
    return mismatch(path, `a reference {type, id} to \`${declared}\``);
  if (named.ids && !named.ids.includes(id)) return mismatch(path, `one of ${named.ids.join(", ")}`);
  return { value: { __entity: { type: declared, id } } };
};

const setOf = (schema: SchemaModel, value: JsonValue, element: ValueType, path: string): Converted => {
  if (!Array.isArray(value)) return mismatch(path, "a set");
  const items: JsonValue[] = [];
  for (const [position, item] of value.entries()) {
    const converted = convert(schema, item, element, `${path}.${position}`);
    if ("mismatch" in converted) return converted;
    if ("value" in converted) items.push(converted.value);
  }
  return { value: items };
};

const scalarOf = (value: JsonValue, kind: "boolean" | "long" | "string", path: string): Converted => {
  const fits =
    kind === "long"
      ? Number.isSafeInteger(value)
      : typeof value === (kind === "boolean" ? "boolean" : "string");
  return fits ? { value } : mismatch(path, kind);
};

const convert = (schema: SchemaModel, value: JsonValue, type: ValueType, path: string): Converted => {
  if (value === null) return absent;
  switch (type.kind) {
    case "extension":
      return extensionOf(value, type.name, path);
    case "entity":
      return entityOf(schema, value, type.type, path);
    case "set":
      return setOf(schema, value, type.element, path);
    case "record": {
      if (!isObject(value)) return mismatch(path, "a record");
      const record = convertRecord(schema, value, type.attributes, path);
      return "mismatch" in record ? record : { value: record.record };
    }
    case "boolean":
    case "long":
    case "string":
      return scalarOf(value, type.kind, path);
  }
};

/**
 * Converts the declared attributes of an object; undeclared ones are left out, `null` is absent.
 * `path` names the object in a mismatch.
 */
export const convertRecord = (
  schema: SchemaModel,
  object: JsonObject,
  attributes: Attributes,
  path: string,
): { record: JsonObject } | { mismatch: Mismatch } => {
  const record: JsonObject = {};
  for (const [name, { type }] of attributes) {
    if (!Object.hasOwn(object, name)) continue;
    const converted = convert(schema, object[name]!, type, `${path}.${name}`);
    if ("mismatch" in converted) return converted;
    if ("value" in converted) record[name] = converted.value;
  }
  return { record };
};

/** Converts one value, for tags and the like; absent values are left to the caller. */
export const convertValue = (
  schema: SchemaModel,
  value: JsonValue,
  type: ValueType,
  path: string,
): Converted => convert(schema, value, type, path);
