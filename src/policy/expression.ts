/** What an expression of a policy becomes: a closure over a question. And how such closures ask for the types they need. */
import type { JsonObject, JsonValue } from "../kit/json.ts";
import { isObject } from "../kit/json.ts";
import { EvaluationError, Unrepresentable } from "./failure.ts";
import type { KnownEntities } from "./known-entities.ts";
import type { Long } from "./long.ts";
import type { EntityRef, Extension, RecordValue, SetValue, Value } from "./value.ts";

/** The question that a policy is evaluated for. */
export type Frame = {
  principal: EntityRef;
  action: EntityRef;
  resource: EntityRef;
  context: RecordValue;
  entities: KnownEntities;
};

/** @throws EvaluationError as Cedar's evaluation fails */
export type Evaluate = (frame: Frame) => Value;

/** Compiles an operand of an operator. @throws Unrepresentable */
export type Compile = (expression: JsonValue | undefined) => Evaluate;

/** Compiles one operator of Cedar's JSON form, given its operands. @throws Unrepresentable */
export type Operator = (operand: JsonValue, compile: Compile) => Evaluate;

// Made once: an error that is thrown per question would cost its stack.
const mistyped = (expected: string): EvaluationError =>
  new EvaluationError(`type error: expected ${expected}`);
const noBool = mistyped("bool");
const noLong = mistyped("long");
const noString = mistyped("string");
const noEntity = mistyped("an entity");
const noSet = mistyped("set");
const noExtension = {
  decimal: mistyped("decimal"),
  ip: mistyped("ipaddr"),
  datetime: mistyped("datetime"),
  duration: mistyped("duration"),
};

export const asBool = (value: Value): boolean => {
  if (typeof value !== "boolean") throw noBool;
  return value;
};

export const isLong = (value: Value): value is Long => typeof value === "number" || typeof value === "bigint";

export const asLong = (value: Value): Long => {
  if (!isLong(value)) throw noLong;
  return value;
};

export const asString = (value: Value): string => {
  if (typeof value !== "string") throw noString;
  return value;
};

export const asEntity = (value: Value): EntityRef => {
  if (typeof value !== "object" || value.kind !== "entity") throw noEntity;
  return value;
};

export const asSet = (value: Value): SetValue => {
  if (typeof value !== "object" || value.kind !== "set") throw noSet;
  return value;
};

const isKind = <K extends Extension["kind"]>(
  value: Value,
  kind: K,
): value is Extract<Extension, { kind: K }> => typeof value === "object" && value.kind === kind;

export const asExtension = <K extends Extension["kind"]>(
  value: Value,
  kind: K,
): Extract<Extension, { kind: K }> => {
  if (!isKind(value, kind)) throw noExtension[kind];
  return value;
};

/**
 * The operands of an operator by name. Anything besides them may be something that a later Cedar says with it.
 * @throws Unrepresentable
 */
export const operands = (
  operand: JsonValue | undefined,
  required: readonly string[],
  optional: readonly string[] = [],
): JsonObject => {
  if (!isObject(operand)) throw new Unrepresentable("an operator without operands");
  const names = Object.keys(operand);
  const known = names.every((name) => required.includes(name) || optional.includes(name));
  if (!known || !required.every((name) => Object.hasOwn(operand, name)))
    throw new Unrepresentable(`unknown operands: ${names.join(", ")}`);
  return operand;
};

/** @throws Unrepresentable */
export const textOf = (value: JsonValue | undefined): string => {
  if (typeof value !== "string") throw new Unrepresentable("a name that is no text");
  return value;
};
