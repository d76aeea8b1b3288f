/** Cedar's JSON form of expressions, as far as the lints look into it. */

export type Json = { [key: string]: unknown };

export const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null;

/** The operator of an expression and its operand. */
export const operatorOf = (value: unknown): [string, unknown] | undefined =>
  isJson(value) && !Array.isArray(value) ? Object.entries(value)[0] : undefined;

/** The path of an expression from a variable on, if it is nothing but attributes: `["context", "remit", "now"]`. */
export const pathOf = (value: unknown): string[] | undefined => {
  const found = operatorOf(value);
  if (!found) return undefined;
  const [operator, operand] = found;
  if (operator === "Var" && typeof operand === "string") return [operand];
  if (operator !== "." || !isJson(operand) || typeof operand["attr"] !== "string") return undefined;
  const left = pathOf(operand["left"]);
  return left && [...left, operand["attr"]];
};

/** A path as one word. Attribute names may hold dots. */
export const pathKey = (path: readonly string[]): string => JSON.stringify(path);
