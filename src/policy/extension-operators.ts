/** The functions and methods of Cedar's extensions, each to a closure. */
import type { JsonValue } from "../kit/json.ts";
import { durationSince, durationUnitsMs, offset, toDate, toTime } from "./datetime.ts";
import { asExtension, asString, type Compile, type Evaluate, type Operator } from "./expression.ts";
import { EvaluationError, Unrepresentable } from "./failure.ts";
import { isInRange, isLoopback, isMulticast } from "./ip-range.ts";
import { type Long, quotient } from "./long.ts";
import { constructors, type Extension, type Value } from "./value.ts";

/** The parser takes any number of arguments; what a wrong one does is the reference engine's to say. */
const argumentsOf = (operand: JsonValue, count: number, compile: Compile): Evaluate[] => {
  if (!Array.isArray(operand) || operand.length !== count)
    throw new Unrepresentable("an unusual number of arguments");
  return operand.map(compile);
};

const unary =
  (apply: (value: Value) => Value): Operator =>
  (operand, compile) => {
    const [of] = argumentsOf(operand, 1, compile);
    return (frame) => apply(of!(frame));
  };

const binary =
  (apply: (left: Value, right: Value) => Value): Operator =>
  (operand, compile) => {
    const [left, right] = argumentsOf(operand, 2, compile);
    return (frame) => {
      const a = left!(frame);
      const b = right!(frame);
      return apply(a, b);
    };
  };

const isLiteralText = (operand: JsonValue): operand is [{ Value: string }] => {
  const [only] = Array.isArray(operand) ? operand : [];
  return (
    typeof only === "object" && only !== null && !Array.isArray(only) && typeof only["Value"] === "string"
  );
};

const construction = (name: keyof typeof constructors): Operator => {
  const read = constructors[name];
  const malformed = new EvaluationError(`the text is no \`${name}\``);
  const construct = (text: string): Extension => {
    const value = read(text);
    if (!value) throw malformed;
    return value;
  };
  const atRun = unary((value) => construct(asString(value)));
  return (operand, compile) => {
    const evaluate = atRun(operand, compile);
    // A literal is read once; a malformed one fails each time it is evaluated, and no sooner.
    const known = isLiteralText(operand) ? read(operand[0].Value) : undefined;
    return known ? () => known : evaluate;
  };
};

const decimals = (holds: (left: Long, right: Long) => boolean): Operator =>
  binary((left, right) => {
    const a = asExtension(left, "decimal");
    const b = asExtension(right, "decimal");
    return holds(a.units, b.units);
  });

const durationIn = (unitMs: number): Operator =>
  unary((value) => quotient(asExtension(value, "duration").ms, unitMs));

/** The functions that this engine knows, under their names in Cedar's JSON form. */
export const extensionOperators: Readonly<Record<string, Operator>> = {
  decimal: construction("decimal"),
  ip: construction("ip"),
  datetime: construction("datetime"),
  duration: construction("duration"),
  lessThan: decimals((left, right) => left < right),
  lessThanOrEqual: decimals((left, right) => left <= right),
  greaterThan: decimals((left, right) => left > right),
  greaterThanOrEqual: decimals((left, right) => left >= right),
  isIpv4: unary((value) => asExtension(value, "ip").bits === 32),
  isIpv6: unary((value) => asExtension(value, "ip").bits === 128),
  isLoopback: unary((value) => isLoopback(asExtension(value, "ip"))),
  isMulticast: unary((value) => isMulticast(asExtension(value, "ip"))),
  isInRange: binary((inner, outer) => isInRange(asExtension(inner, "ip"), asExtension(outer, "ip"))),
  offset: binary((moment, span) => offset(asExtension(moment, "datetime"), asExtension(span, "duration"))),
  durationSince: binary((moment, other) =>
    durationSince(asExtension(moment, "datetime"), asExtension(other, "datetime")),
  ),
  toDate: unary((value) => toDate(asExtension(value, "datetime"))),
  toTime: unary((value) => toTime(asExtension(value, "datetime"))),
  toMilliseconds: durationIn(durationUnitsMs.toMilliseconds),
  toSeconds: durationIn(durationUnitsMs.toSeconds),
  toMinutes: durationIn(durationUnitsMs.toMinutes),
  toHours: durationIn(durationUnitsMs.toHours),
  toDays: durationIn(durationUnitsMs.toDays),
};
