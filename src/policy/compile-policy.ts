/** One policy in Cedar's JSON form to a closure that says whether it applies. No code is generated. */
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import type { Uid } from "../kit/cedar-json.ts";
import { asBool, type Compile, type Evaluate, type Frame, operands, textOf } from "./expression.ts";
import { extensionOperators } from "./extension-operators.ts";
import { Unrepresentable } from "./failure.ts";
import { isIn } from "./known-entities.ts";
import { operators } from "./operators.ts";
import { type EntityRef, entityRef } from "./value.ts";

/** A policy in Cedar's JSON form (what of it decides whether it applies). */
export type PolicyJson = {
  principal: JsonObject;
  action: JsonObject;
  resource: JsonObject;
  conditions: JsonObject[];
};

/** Whether the policy applies. @throws EvaluationError, Unrepresentable */
export type Applies = (frame: Frame) => boolean;

/** Deeper than any policy that is admitted; a closure calls itself as deep as its expression nests. */
const depthMax = 250;

const operatorNamed = (name: string): (typeof operators)[string] => {
  for (const table of [operators, extensionOperators]) if (Object.hasOwn(table, name)) return table[name]!;
  throw new Unrepresentable(`an unknown operator \`${name}\``);
};

const compileAt =
  (depth: number): Compile =>
  (expression) => {
    if (depth > depthMax) throw new Unrepresentable("nested too deeply");
    if (!isObject(expression)) throw new Unrepresentable("an expression that is no object");
    const [name, ...more] = Object.keys(expression);
    if (name === undefined || more.length > 0)
      throw new Unrepresentable("an expression of several operators");
    return operatorNamed(name)(expression[name]!, compileAt(depth + 1));
  };

const compileExpression: (expression: JsonValue | undefined) => Evaluate = compileAt(0);

const uidOf = (json: JsonValue | undefined): EntityRef => {
  const { __entity: escaped } = isObject(json) ? json : {};
  const { type, id } = operands(escaped ?? json, ["type", "id"]);
  return entityRef({ type: textOf(type), id: textOf(id) });
};

type Variable = "principal" | "action" | "resource";

const inConstraint = (variable: Variable, group: EntityRef): Applies => {
  return (frame) => isIn(frame.entities, frame[variable], group);
};

const isConstraint = (variable: Variable, head: JsonObject): Applies => {
  const { entity_type, in: group } = operands(head, ["op", "entity_type"], ["in"]);
  const type = textOf(entity_type);
  if (group === undefined) return (frame) => frame[variable].type === type;
  const within = inConstraint(variable, uidOf(operands(group, ["entity"])["entity"]));
  return (frame) => frame[variable].type === type && within(frame);
};

/** One conjunct of a policy's head; nothing where it holds of everything. @throws Unrepresentable */
const compileHead = (variable: Variable, head: JsonObject): Applies | undefined => {
  const { op } = head;
  if (op === "All") {
    operands(head, ["op"]);
    return undefined;
  }
  if (op === "==") {
    const { key } = uidOf(operands(head, ["op", "entity"])["entity"]);
    return (frame) => frame[variable].key === key;
  }
  if (op === "is") return isConstraint(variable, head);
  if (op !== "in") throw new Unrepresentable("an unknown constraint in the head");
  if (!Array.isArray(head["entities"]))
    return inConstraint(variable, uidOf(operands(head, ["op", "entity"])["entity"]));
  operands(head, ["op", "entities"]);
  const groups = head["entities"].map(uidOf);
  return (frame) => groups.some((group) => isIn(frame.entities, frame[variable], group));
};

const compileCondition = (clause: JsonObject): Applies => {
  const { kind, body } = operands(clause, ["kind", "body"]);
  const evaluate = compileExpression(body);
  if (kind === "when") return (frame) => asBool(evaluate(frame));
  if (kind === "unless") return (frame) => !asBool(evaluate(frame));
  throw new Unrepresentable("an unknown kind of condition");
};

/** Compiles a policy. @throws Unrepresentable where the reference engine must be asked about it */
export const compilePolicy = ({ principal, action, resource, conditions }: PolicyJson): Applies => {
  const heads = [
    compileHead("principal", principal),
    compileHead("action", action),
    compileHead("resource", resource),
  ];
  const parts = [...heads.flatMap((head) => head ?? []), ...conditions.map(compileCondition)];
  return (frame) => {
    for (const part of parts) if (!part(frame)) return false;
    return true;
  };
};

/** A template's head with its slots filled, as a link of it is evaluated. @throws Unrepresentable for an unknown slot */
export const linkTemplate = (template: PolicyJson, values: Readonly<Record<string, Uid>>): PolicyJson => {
  const fill = (head: JsonObject): JsonObject => {
    const { slot, in: group, ...rest } = head;
    const filled = isObject(group) ? { ...rest, in: fill(group) } : rest;
    if (slot === undefined) return filled;
    const uid = Object.hasOwn(values, textOf(slot)) ? values[textOf(slot)] : undefined;
    if (uid === undefined) throw new Unrepresentable(`no value for the slot ${textOf(slot)}`);
    return { ...filled, entity: { type: uid.type, id: uid.id } };
  };
  return { ...template, principal: fill(template.principal), resource: fill(template.resource) };
};
