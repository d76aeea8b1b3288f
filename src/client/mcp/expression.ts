/**
 * Expressions of mappings, in CEL: over `params` and `token`, of bounded size and without loops, so that each takes no longer than
 * its text and the values that it reads are long.
 */
import { Environment } from "@marcbachmann/cel-js";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";

/** What expressions may read (COAZ-MCP, information model). */
export type Variables = { params: JsonObject; token: JsonObject };

/** Gives a value, or undefined for what is absent. @throws Error where it has none */
export type Evaluate = (variables: Variables) => JsonValue | undefined;

const textMax = 1000;
const depthMax = 16;

const environment = new Environment({
  enableOptionalTypes: true,
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 300, maxDepth: 32, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 8 },
});

/** Macros over lists could take very long within one another, and so could patterns: neither is here. */
const functions: ReadonlySet<unknown> = new Set([
  "has",
  "size",
  "string",
  "int",
  "double",
  "bool",
  "startsWith",
  "endsWith",
  "contains",
  "lowerAscii",
  "upperAscii",
  "trim",
  "orValue",
  "hasValue",
]);
const variables: ReadonlySet<unknown> = new Set(["params", "token"]);

/** @throws Error for a function or variable that isn't there */
const check = (node: unknown): void => {
  if (Array.isArray(node)) {
    for (const each of node) check(each);
    return;
  }
  if (typeof node !== "object" || node === null || !("op" in node) || !("args" in node)) return;
  const { op, args } = node;
  const [name] = Array.isArray(args) ? (args as unknown[]) : [];
  if ((op === "call" || op === "rcall") && !functions.has(name))
    throw new Error(`there is no function \`${String(name)}\` here`);
  if (op === "id" && !variables.has(args)) throw new Error(`there is no variable \`${String(args)}\` here`);
  check(args);
};

const isOptional = (value: object): value is { hasValue: () => boolean; value: () => unknown } =>
  "hasValue" in value && typeof value.hasValue === "function";

/** @throws Error for a value that JSON doesn't have */
const jsonOf = (value: unknown, depth = depthMax): JsonValue => {
  if (depth < 0) throw new Error("the value is nested too deeply");
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value);
  if (Array.isArray(value)) return value.map((item: unknown) => jsonOf(item, depth - 1));
  if (isObject(value) && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, jsonOf(member, depth - 1)]),
    );
  throw new Error("the value is none of JSON");
};

/** Reads an expression. @throws Error where it is none, is too long, or calls what isn't here */
export const compileExpression = (text: string): Evaluate => {
  if (text.length > textMax) throw new Error(`an expression is longer than ${textMax} characters`);
  const program = environment.parse(text);
  check(program.ast);
  return ({ params, token }) => {
    const value: unknown = program({ params, token });
    if (typeof value === "object" && value !== null && isOptional(value))
      return value.hasValue() ? jsonOf(value.value()) : undefined;
    return jsonOf(value);
  };
};
