/** Cedar's operators of policies, each to a closure; those of extensions stand in `extension-operators.ts`. */
import type { JsonValue } from "../kit/json.ts";
import { isObject } from "../kit/json.ts";
import {
  asBool,
  asEntity,
  asLong,
  asSet,
  asString,
  type Compile,
  type Evaluate,
  type Frame,
  isLong,
  operands,
  type Operator,
  textOf,
} from "./expression.ts";
import { EvaluationError, Unrepresentable } from "./failure.ts";
import { isIn } from "./known-entities.ts";
import { add, type Long, multiply, negate, subtract } from "./long.ts";
import { patternOf } from "./pattern.ts";
import {
  contains,
  type EntityRef,
  equal,
  fieldOf,
  fromJson,
  keysOf,
  type RecordValue,
  recordOf,
  type SetValue,
  setOf,
  type Value,
} from "./value.ts";

const two = (operand: JsonValue, compile: Compile): [Evaluate, Evaluate] => {
  const { left, right } = operands(operand, ["left", "right"]);
  return [compile(left), compile(right)];
};

const one = (operand: JsonValue, compile: Compile): Evaluate => compile(operands(operand, ["arg"])["arg"]);

const arithmetic =
  (combine: (left: Long, right: Long) => Long): Operator =>
  (operand, compile) => {
    const [left, right] = two(operand, compile);
    return (frame) => {
      const a = left(frame);
      const b = right(frame);
      return combine(asLong(a), asLong(b));
    };
  };

const incomparable = new EvaluationError("type error: expected two longs, datetimes or durations");

/** What of an ordered value is compared. */
const orderOf = (left: Value, right: Value): [Long, Long] => {
  if (isLong(left) && isLong(right)) return [left, right];
  if (typeof left === "object" && typeof right === "object") {
    if (left.kind === "datetime" && right.kind === "datetime") return [left.ms, right.ms];
    if (left.kind === "duration" && right.kind === "duration") return [left.ms, right.ms];
  }
  throw incomparable;
};

const comparison =
  (holds: (left: Long, right: Long) => boolean): Operator =>
  (operand, compile) => {
    const [left, right] = two(operand, compile);
    return (frame) => {
      const a = left(frame);
      const b = right(frame);
      if (typeof a === "number" && typeof b === "number") return holds(a, b);
      return holds(...orderOf(a, b));
    };
  };

const setOperator =
  (holds: (set: SetValue, other: Value) => boolean): Operator =>
  (operand, compile) => {
    const [left, right] = two(operand, compile);
    return (frame) => {
      const set = left(frame);
      const other = right(frame);
      return holds(asSet(set), other);
    };
  };

const containsAll = (set: SetValue, other: Value): boolean => {
  const keys = keysOf(set);
  return [...keysOf(asSet(other))].every((key) => keys.has(key));
};

const containsAny = (set: SetValue, other: Value): boolean => {
  const keys = keysOf(set);
  return [...keysOf(asSet(other))].some((key) => keys.has(key));
};

/** The terms of a chain of one operator, which nests to the left. */
const chain = (operator: "&&" | "||", operand: JsonValue, compile: Compile): Evaluate[] => {
  const terms: Evaluate[] = [];
  let { left, right } = operands(operand, ["left", "right"]);
  while (isObject(left) && Object.keys(left).length === 1 && Object.hasOwn(left, operator)) {
    terms.push(compile(right));
    ({ left, right } = operands(left[operator], ["left", "right"]));
  }
  terms.push(compile(right), compile(left));
  return terms.reverse();
};

/** `&&` ends at the first false, `||` at the first true; what comes after it isn't evaluated, so can't fail. */
const junction =
  (operator: "&&" | "||", ends: boolean): Operator =>
  (operand, compile) => {
    const terms = chain(operator, operand, compile);
    return (frame) => {
      for (const term of terms) if (asBool(term(frame)) === ends) return ends;
      return !ends;
    };
  };

const variables: Record<string, Evaluate> = {
  principal: (frame) => frame.principal,
  action: (frame) => frame.action,
  resource: (frame) => frame.resource,
  context: (frame) => frame.context,
};

const noRecord = new EvaluationError("type error: expected a record or an entity");

/** The record that a value is, or the attributes of the entity that it is; nothing where that isn't known. */
const attributesOf = (frame: Frame, value: Value): RecordValue | undefined => {
  if (typeof value === "object") {
    if (value.kind === "record") return value;
    if (value.kind === "entity") return frame.entities.find(value.key)?.attributes;
  }
  throw noRecord;
};

const unknownEntity = new EvaluationError("an entity does not exist");

const attribute: Operator = (operand, compile) => {
  const { left, attr } = operands(operand, ["left", "attr"]);
  const of = compile(left);
  const name = textOf(attr);
  const missing = new EvaluationError(`the attribute \`${name}\` does not exist`);
  return (frame) => {
    const attributes = attributesOf(frame, of(frame));
    if (!attributes) throw unknownEntity;
    const value = fieldOf(attributes, name);
    if (value === undefined) throw missing;
    return value;
  };
};

/** `has` of one step or several: each but the first looks into what the one before it gave. */
const has: Operator = (operand, compile) => {
  const { left, attr } = operands(operand, ["left", "attr"]);
  const of = compile(left);
  const names = Array.isArray(attr) ? attr.map(textOf) : [textOf(attr)];
  if (names.length === 0) throw new Unrepresentable("`has` of nothing");
  return (frame) => {
    let value = of(frame);
    for (const name of names) {
      const attributes = attributesOf(frame, value);
      const next = attributes && fieldOf(attributes, name);
      if (next === undefined) return false;
      value = next;
    }
    return true;
  };
};

const getTag: Operator = (operand, compile) => {
  const [left, right] = two(operand, compile);
  const missing = new EvaluationError("the tag does not exist");
  return (frame) => {
    const value = left(frame);
    const name = right(frame);
    const entity = frame.entities.find(asEntity(value).key);
    const tag = asString(name);
    if (!entity) throw unknownEntity;
    const found = fieldOf(entity.tags, tag);
    if (found === undefined) throw missing;
    return found;
  };
};

const hasTag: Operator = (operand, compile) => {
  const [left, right] = two(operand, compile);
  return (frame) => {
    const value = left(frame);
    const name = right(frame);
    const entity = frame.entities.find(asEntity(value).key);
    const tag = asString(name);
    return entity !== undefined && fieldOf(entity.tags, tag) !== undefined;
  };
};

const isInAny = (frame: Frame, entity: EntityRef, other: Value): boolean => {
  if (typeof other !== "object" || other.kind !== "set") return isIn(frame.entities, entity, asEntity(other));
  // All are looked at first: one that is no entity fails the whole.
  const entities = other.items.map(asEntity);
  return entities.some((group) => isIn(frame.entities, entity, group));
};

const within: Operator = (operand, compile) => {
  const [left, right] = two(operand, compile);
  return (frame) => {
    const value = left(frame);
    const other = right(frame);
    return isInAny(frame, asEntity(value), other);
  };
};

const is: Operator = (operand, compile) => {
  const { left, entity_type, in: group } = operands(operand, ["left", "entity_type"], ["in"]);
  const of = compile(left);
  const type = textOf(entity_type);
  if (group === undefined) return (frame) => asEntity(of(frame)).type === type;
  const container = compile(group);
  return (frame) => {
    const entity = asEntity(of(frame));
    return entity.type === type && isInAny(frame, entity, container(frame));
  };
};

const like: Operator = (operand, compile) => {
  const { left, pattern } = operands(operand, ["left", "pattern"]);
  const of = compile(left);
  const matches = patternOf(pattern);
  return (frame) => matches(asString(of(frame)));
};

const conditional: Operator = (operand, compile) => {
  const parts = operands(operand, ["if", "then", "else"]);
  const [test, then, otherwise] = [compile(parts["if"]), compile(parts["then"]), compile(parts["else"])];
  return (frame) => (asBool(test(frame)) ? then(frame) : otherwise(frame));
};

const isLiteral = (expression: JsonValue): boolean =>
  isObject(expression) && Object.keys(expression).length === 1 && Object.hasOwn(expression, "Value");

const set: Operator = (operand, compile) => {
  if (!Array.isArray(operand)) throw new Unrepresentable("a set that is no list");
  const items = operand.map(compile);
  if (operand.every(isLiteral)) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a literal looks at no question
    const literal = setOf(items.map((item) => item({} as Frame)));
    return () => literal;
  }
  return (frame) => setOf(items.map((item) => item(frame)));
};

const record: Operator = (operand, compile) => {
  if (!isObject(operand)) throw new Unrepresentable("a record that is no object");
  const fields = Object.entries(operand).map(([name, value]) => [name, compile(value)] as const);
  return (frame) => recordOf(new Map(fields.map(([name, value]) => [name, value(frame)])));
};

const literal: Operator = (operand) => {
  const value = fromJson(operand);
  return () => value;
};

const variable: Operator = (operand) => {
  const name = textOf(operand);
  if (!Object.hasOwn(variables, name)) throw new Unrepresentable(`an unknown variable \`${name}\``);
  return variables[name]!;
};

/** The operators that this engine knows, under their names in Cedar's JSON form. */
export const operators: Readonly<Record<string, Operator>> = {
  Value: literal,
  Var: variable,
  "!": (operand, compile) => {
    const of = one(operand, compile);
    return (frame) => !asBool(of(frame));
  },
  neg: (operand, compile) => {
    const of = one(operand, compile);
    return (frame) => negate(asLong(of(frame)));
  },
  "==": (operand, compile) => {
    const [left, right] = two(operand, compile);
    return (frame) => equal(left(frame), right(frame));
  },
  "!=": (operand, compile) => {
    const [left, right] = two(operand, compile);
    return (frame) => !equal(left(frame), right(frame));
  },
  "<": comparison((left, right) => left < right),
  "<=": comparison((left, right) => left <= right),
  ">": comparison((left, right) => left > right),
  ">=": comparison((left, right) => left >= right),
  "+": arithmetic(add),
  "-": arithmetic(subtract),
  "*": arithmetic(multiply),
  "&&": junction("&&", false),
  "||": junction("||", true),
  in: within,
  is,
  has,
  ".": attribute,
  getTag,
  hasTag,
  like,
  contains: setOperator(contains),
  containsAll: setOperator(containsAll),
  containsAny: setOperator(containsAny),
  isEmpty: (operand, compile) => {
    const of = one(operand, compile);
    return (frame) => asSet(of(frame)).items.length === 0;
  },
  "if-then-else": conditional,
  Set: set,
  Record: record,
};
