/** Remit's inputs in a question's `context.remit`: a closed list, so that a misspelt one is an error and not silence. */
import { isObject, type JsonObject } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";

export type Inputs = {
  run?: string;
  parentRun?: string;
  dryRun: boolean;
};

const invalid = (name: string, expected: string): Problem =>
  new Problem("invalid_request", `context.remit.${name} must be ${expected}`, {
    field: `context.remit.${name}`,
  });

const idLengthMax = 256;

const textOf = (inputs: JsonObject, name: string): string | undefined => {
  const value = inputs[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value === "" || value.length > idLengthMax)
    throw invalid(name, `a string of 1 to ${idLengthMax} characters`);
  return value;
};

const known = new Set(["run", "parent_run", "dry_run", "arguments_digest"]);

/**
 * Reads `context.remit`. `arguments_digest` is recorded with the question and not read here.
 * @throws Problem `invalid_request` for an unknown key or a wrong type
 */
export const readInputs = (context: JsonObject | undefined): Inputs => {
  const inputs = context?.["remit"];
  if (inputs === undefined || inputs === null) return { dryRun: false };
  if (!isObject(inputs))
    throw new Problem("invalid_request", "context.remit must be an object", { field: "context.remit" });
  for (const name of Object.keys(inputs)) {
    if (!known.has(name)) {
      const field = `context.remit.${name}`;
      throw new Problem("invalid_request", `${field} is not a key of context.remit`, { field });
    }
  }
  const dryRun = inputs["dry_run"] ?? false;
  if (typeof dryRun !== "boolean") throw invalid("dry_run", "true or false");
  textOf(inputs, "arguments_digest");
  const run = textOf(inputs, "run");
  const parentRun = textOf(inputs, "parent_run");
  return {
    dryRun,
    ...(run === undefined ? {} : { run }),
    ...(parentRun === undefined ? {} : { parentRun }),
  };
};
