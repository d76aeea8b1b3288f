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

/** The accesses of an expression that begin at the context, each as far as it goes; a bare variable is one, too. */
const contextPaths = (value: unknown): string[][] => {
  if (!isNode(value)) return [];
  if (Array.isArray(value)) return value.flatMap(contextPaths);
  for (const operator of ["has", "."] as const) {
    const access = value[operator];
    const left = isNode(access) ? pathOf(access["left"]) : undefined;
    if (isNode(access) && left) return left[0] === "context" ? [[...left, ...namesOf(access["attr"])]] : [];
  }
  if (value["Var"] === "context") return [["context"]];
  return Object.values(value).flatMap(contextPaths);
};

/**
 * The budgets that conditions (Cedar's JSON form) name under `context.remit.budgets`, by `.`, `[…]` or `has`, and
 * whether they take a record as a whole that all budgets are in.
 */
export const budgetNamesIn = (conditions: unknown): { names: string[]; whole: boolean } => {
  const names = new Set<string>();
  let whole = false;
  for (const path of contextPaths(conditions)) {
    if (budgetsPath.some((part, position) => position < path.length && path[position] !== part)) continue;
    const name = path[budgetsPath.length];
    if (name === undefined) whole = true;
    else names.add(name);
  }
  return { names: [...names], whole };
};
