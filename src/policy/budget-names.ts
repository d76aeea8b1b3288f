/**
 * Which budgets a policy names. Cedar's validator takes `has` on an attribute that the type doesn't know for a plain
 * `false`, so a misspelt budget would pass it and the guard would never guard.
 */

type Node = { [key: string]: unknown };

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null;

const budgetsPath = ["context", "remit", "budgets"] as const;

/** `attr` is one name, or several where `has` takes more than one step. */
const namesOf = (attr: unknown): string[] => [attr].flat().filter((name) => typeof name === "string");

/** The path of an expression from a variable on, if it is nothing but attributes. */
const pathOf = (value: unknown): string[] | undefined => {
  if (!isNode(value)) return undefined;
  if (typeof value["Var"] === "string") return [value["Var"]];
  const access = value["."];
  if (!isNode(access)) return undefined;
  const left = pathOf(access["left"]);
  return left && [...left, ...namesOf(access["attr"])];
};

const named = (path: readonly string[] | undefined): string[] => {
  const name = path?.[budgetsPath.length];
  return name !== undefined && budgetsPath.every((part, position) => path?.[position] === part) ? [name] : [];
};

/** The budgets that conditions (Cedar's JSON form) name under `context.remit.budgets`, by `.`, `[…]` or `has`. */
export const budgetNamesIn = (value: unknown): string[] => {
  if (!isNode(value)) return [];
  if (Array.isArray(value)) return value.flatMap(budgetNamesIn);
  const own = (["has", "."] as const).flatMap((operator) => {
    const access = value[operator];
    if (!isNode(access)) return [];
    const left = pathOf(access["left"]);
    return named(left && [...left, ...namesOf(access["attr"])]);
  });
  return [...new Set([...own, ...Object.values(value).flatMap(budgetNamesIn)])];
};
