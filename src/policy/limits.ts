/**
 * Bounds on policy text: shapes that cedar-wasm parses but traps on when it evaluates (314 terms of `&&`, 104 of
 * `+`; measured), refused at load with a wide margin. Also how far a policy can reach from what it is given.
 */

import type { Uid } from "../kit/cedar-json.ts";

/** Of the JSON form, where an operator takes two levels: 60 operators inside one another. */
const depthMax = 120;
const chainTermsMax = 100;

type Node = { [key: string]: unknown };

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null;

/** Operators whose chains nest to the left in the JSON form. */
const chained = new Set(["&&", "||", "+", "-", "*"]);

/** The length of the left spine of one operator: `a && b && c` has three terms. */
const spine = (node: Node, operator: string): Node[] => {
  const terms: Node[] = [];
  let at: unknown = node;
  while (isNode(at) && isNode(at[operator])) {
    const { left, right } = at[operator];
    if (isNode(right)) terms.push(right);
    at = left;
  }
  if (isNode(at)) terms.push(at);
  return terms;
};

/**
 * Measures an expression: nesting depth, where a chain of one operator counts as one level.
 * Returns what is wrong, or nothing.
 */
const faultOf = (value: unknown, depth: number): string | undefined => {
  if (!isNode(value)) return undefined;
  if (depth > depthMax) return `nested more than ${depthMax / 2} operators deep`;
  const operator = Object.keys(value)[0];
  if (operator !== undefined && chained.has(operator)) {
    const terms = spine(value, operator);
    if (terms.length > chainTermsMax) return `more than ${chainTermsMax} terms joined by \`${operator}\``;
    return firstFault(terms, depth + 1);
  }
  return firstFault(Object.values(value), depth + 1);
};

const firstFault = (values: readonly unknown[], depth: number): string | undefined => {
  for (const value of values) {
    const fault = faultOf(value, depth);
    if (fault !== undefined) return fault;
  }
  return undefined;
};

/** Why conditions of a policy (Cedar's JSON form) can't be admitted, or nothing. */
export const limitFault = (conditions: readonly unknown[]): string | undefined =>
  conditions.length > chainTermsMax ? `more than ${chainTermsMax} conditions` : firstFault(conditions, 0);

/** Operators that look into an entity: each can step from one entity to the next. */
const stepping = new Set([".", "has", "in", "getTag", "hasTag", "is"]);

const reachOfValue = (value: unknown): number => {
  if (!isNode(value)) return 0;
  if (Array.isArray(value)) return Math.max(0, ...value.map(reachOfValue));
  let reach = 0;
  for (const [operator, operand] of Object.entries(value)) {
    const own = stepOf(operator, operand);
    reach = Math.max(reach, own + reachOfValue(operand));
  }
  return reach;
};

/** Entities named literally where a step starts: `User::"root".manager` looks into an entity no request names. */
export const literalsOf = (value: unknown, stepped = false): Uid[] => {
  if (!isNode(value)) return [];
  if (Array.isArray(value)) return value.flatMap((item) => literalsOf(item, stepped));
  return Object.entries(value).flatMap(([name, operand]) => {
    if (name === "__entity" && stepped)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Cedar's parser wrote it
      return [operand as Uid];
    if (!stepping.has(name) || !isNode(operand)) return literalsOf(operand, stepped);
    return [...literalsOf(operand["left"], true), ...literalsOf(operand["right"], stepped)];
  });
};

/** `has a.b.c` steps as often as it has parts. */
const stepOf = (operator: string, operand: unknown): number => {
  if (!stepping.has(operator)) return 0;
  return isNode(operand) && Array.isArray(operand["attr"]) ? operand["attr"].length : 1;
};

/**
 * How many entities in a row an evaluation of these conditions can look into, counted from the request's own:
 * never less than the truth. What lies further can't change the outcome and need not be given.
 */
export const reachOf = (conditions: readonly unknown[]): number => Math.max(1, reachOfValue(conditions));
