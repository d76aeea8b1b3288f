/** Remit's inputs in a question's `context.remit`: a closed list, so that a misspelt one is an error and not silence. */
import { unitPattern } from "../budget/budget.ts";
import type { Estimate } from "../budget/demand.ts";
import { isAgentKey } from "../identity/key.ts";
import { isObject, type JsonObject, type JsonValue } from "../kit/json.ts";
import { Problem } from "../kit/problem.ts";

export type Inputs = {
  run?: string;
  parentRun?: string;
  dryRun: boolean;
  estimate?: Estimate;
  ttlMs?: number;
  idempotencyKey?: string;
  argumentsDigest?: string;
  /** The acting agent's key: a secret, for its hash alone. */
  agentKey?: string;
};

const invalid = (name: string, expected: string): Problem =>
  new Problem("invalid_request", `context.remit.${name} must be ${expected}`, {
    field: `context.remit.${name}`,
  });

const idLengthMax = 256;
const ttlSecondsMax = 86_400;
const unitsMax = 16;

const textOf = (inputs: JsonObject, name: string): string | undefined => {
  const value = inputs[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value === "" || value.length > idLengthMax)
    throw invalid(name, `a string of 1 to ${idLengthMax} characters`);
  return value;
};

const wholeOf = (value: JsonValue | undefined, name: string, min: number, max: number): number => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max)
    throw invalid(name, `an integer of ${min} to ${max}`);
  return value;
};

const countMax = Number.MAX_SAFE_INTEGER;
const tokensMax = 1_000_000_000_000;

/** `{model, input_tokens, max_output_tokens}`: what the catalogue prices. */
const tokenEstimate = (estimate: JsonObject): Estimate => {
  const allowed = new Set(["model", "input_tokens", "max_output_tokens"]);
  for (const name of Object.keys(estimate))
    if (!allowed.has(name)) throw invalid(`estimate.${name}`, "left out beside model and max_output_tokens");
  const model = estimate["model"];
  if (model !== undefined && (typeof model !== "string" || model === ""))
    throw invalid("estimate.model", "a non-empty string");
  return {
    kind: "tokens",
    ...(model === undefined ? {} : { model }),
    inputTokens: wholeOf(estimate["input_tokens"], "estimate.input_tokens", 0, tokensMax),
    maxOutputTokens: wholeOf(estimate["max_output_tokens"], "estimate.max_output_tokens", 0, tokensMax),
  };
};

const estimateOf = (value: JsonValue | undefined): Estimate | undefined => {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid("estimate", "an object");
  if ("model" in value || "max_output_tokens" in value) return tokenEstimate(value);
  const amounts = Object.entries(value);
  if (amounts.length === 0 || amounts.length > unitsMax)
    throw invalid("estimate", `amounts of 1 to ${unitsMax} units`);
  return {
    kind: "amounts",
    amounts: Object.fromEntries(
      amounts.map(([unit, amount]) => {
        if (!unitPattern.test(unit)) throw invalid(`estimate.${unit}`, "a unit of a-z, 0-9 and `_`");
        return [unit, wholeOf(amount, `estimate.${unit}`, 1, countMax)];
      }),
    ),
  };
};

const known = new Set([
  "run",
  "parent_run",
  "dry_run",
  "arguments_digest",
  "estimate",
  "idempotency_key",
  "ttl_seconds",
  "tokens",
]);

/** Secrets: what is wrong with one is told without it. */
const agentKeyOf = (value: JsonValue | undefined): string | undefined => {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid("tokens", "an object");
  for (const name of Object.keys(value))
    if (name !== "agent") throw invalid("tokens", "an object of `agent` alone");
  const key = value["agent"];
  if (key === undefined || key === null) return undefined;
  if (typeof key !== "string" || !isAgentKey(key)) throw invalid("tokens.agent", "an agent key");
  return key;
};

/** Keeps what was given. */
const given = <T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- exactly the undefined ones are taken out
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

/**
 * Reads `context.remit`.
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
  const ttl = inputs["ttl_seconds"] ?? undefined;
  const run = textOf(inputs, "run");
  const parentRun = textOf(inputs, "parent_run");
  if (parentRun !== undefined && run === undefined) throw invalid("run", "there where parent_run is");
  if (parentRun !== undefined && parentRun === run) throw invalid("parent_run", "another run");
  return {
    dryRun,
    ...given({
      run,
      parentRun,
      estimate: estimateOf(inputs["estimate"]),
      ttlMs: ttl === undefined ? undefined : wholeOf(ttl, "ttl_seconds", 1, ttlSecondsMax) * 1000,
      idempotencyKey: textOf(inputs, "idempotency_key"),
      argumentsDigest: textOf(inputs, "arguments_digest"),
      agentKey: agentKeyOf(inputs["tokens"]),
    }),
  };
};
